"""The table of paths: which dialect is spoken where. Nothing else knows a path of a call.

Paths that vendors share are told apart by what the body holds its documents under, the one thing that never lies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from crossrank.wire import DIALECTS, SUPERSET, SUPERSET_V2, Dialect

TEI, MIXEDBREAD, SCORE, NVIDIA = (DIALECTS[name] for name in ("tei", "mixedbread", "vllm-score", "nvidia"))


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is called with POST.

    Attributes:
        dialects: by the key of the body that holds the documents; the first is for bodies that have none of them.
        strict: whether Cohere's fields are all that a strict server takes here.
        documents: whether the answer always repeats the documents.
        explains: whether an explanation is asked for, not a ranking.
    """

    dialects: Mapping[str, Dialect]
    strict: bool = False
    documents: bool = False
    explains: bool = False

    @property
    def first(self) -> Dialect:
        """The dialect of what cannot be told."""
        return next(iter(self.dialects.values()))

    def dialect(self, body: bytes) -> Dialect:
        """The dialect of a body."""
        if len(self.dialects) == 1:
            return self.first
        try:
            said = msgspec.json.decode(body, type=_Keys)
        except (ValueError, RecursionError):
            return self.first  # it will say what is wrong
        return next(
            (found for key, found in self.dialects.items() if getattr(said, key) is not msgspec.UNSET), self.first
        )


class _Keys(msgspec.Struct):
    documents: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    texts: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _only(name: str, *, documents: bool = False, strict: bool = False) -> Route:
    return Route({"documents": DIALECTS[name]}, documents=documents, strict=strict)


SHARED = Route({"documents": SUPERSET, "texts": TEI})
_VLLM = _only("vllm", documents=True)

CALLS: Mapping[str, Route] = {  # those that rank
    "/v2/rerank": Route({"documents": SUPERSET_V2}, strict=True),
    "/v1/rerank": Route({"documents": SUPERSET, "texts": TEI}, strict=True),
    "/rerank": SHARED,
    "/": SHARED,
    "/invocations": SHARED,
    "/reranking": Route({"documents": SUPERSET, "input": MIXEDBREAD, "texts": TEI}),
    "/v1/reranking": Route({"documents": SUPERSET, "input": MIXEDBREAD, "texts": TEI}),
    "/score": Route({"documents": SCORE}),
    "/v1/score": Route({"documents": SCORE}),
    "/v1/ranking": Route({"documents": NVIDIA}),
    "/crossrank/v1/rank": _only("crossrank"),
    "/cohere/v2/rerank": _only("cohere", strict=True),
    "/cohere/v1/rerank": _only("cohere-v1", strict=True),
    "/voyage/v1/rerank": _only("voyage"),
    "/voyage/rerank": _only("voyage"),
    "/jina/v1/rerank": _only("jina"),
    "/jina/rerank": _only("jina"),
    "/tei/rerank": _only("tei"),
    "/tei": _only("tei"),
    "/vllm/rerank": _VLLM,
    "/vllm/v1/rerank": _VLLM,
    "/vllm/v2/rerank": _VLLM,
    "/vllm/score": _only("vllm-score"),
    "/vllm/v1/score": _only("vllm-score"),
    "/infinity/rerank": _only("infinity"),
    "/mixedbread/v1/reranking": _only("mixedbread"),
    "/together/v1/rerank": _only("together"),
    "/pinecone/rerank": _only("pinecone"),
    "/nvidia/v1/ranking": _only("nvidia"),
}
EXPLAIN = "/crossrank/v1/explain"
ROUTES: Mapping[str, Route] = {**CALLS, EXPLAIN: Route({"document": DIALECTS["crossrank"]}, explains=True)}
PREFIXES = tuple(sorted({path.split("/")[1] for path in CALLS if path.count("/") > 1} - {"v1", "v2"} | {"tei"}))
