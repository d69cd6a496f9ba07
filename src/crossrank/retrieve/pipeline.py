"""Retrieve many, rerank few: `retriever >> reranker % 10`, and what becomes of each document on the way.

It knows the protocols of retrievers and of rankers; not which ones they are.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, overload

from crossrank.arguments import check_number, check_query
from crossrank.composition.cascade import Cascade
from crossrank.composition.stage import Stage
from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.rankers import Call, aask, ask
from crossrank.retrieve.asked import aretrieved, retrieved
from crossrank.retrieve.blend import blended
from crossrank.retrieve.contract import Found, Retriever
from crossrank.types import Document, Hit, Ranker, Ranking

CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One document, and its way to its place.

    Attributes:
        rank: 1 for the best.
        hit: what the ranker says of it; `hit.index` is its place among the candidates.
        found: what the retriever says of it.
        found_at: 1-based rank among the candidates.
        fused: the score by which hits are ordered where the stages' scores are fused, else None.
    """

    rank: int
    hit: Hit
    found: Found
    found_at: int
    fused: float | None = None

    @property
    def document(self) -> Document:
        """The retriever's own object."""
        return self.hit.document

    @property
    def text(self) -> str:
        """What the model read."""
        return self.hit.text

    @property
    def score(self) -> float | None:
        """The ranker's."""
        return self.hit.score

    @property
    def moved(self) -> int:
        """Places gained by reranking; below 0, lost."""
        return self.found_at - self.rank


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult(Sequence[SearchHit]):
    """Hits, best first; behaves like a tuple of them.

    Attributes:
        hits: see there.
        query: as given.
        candidates: how many were retrieved.
        ranking: the ranker's, of all that it ranked.
        timings: seconds: `retrieve`, `rank`, `total`.
    """

    hits: tuple[SearchHit, ...]
    query: str
    candidates: int
    ranking: Ranking
    timings: Mapping[str, float] = field(default_factory=dict)

    @overload
    def __getitem__(self, position: int) -> SearchHit: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[SearchHit, ...]: ...
    def __getitem__(self, position: int | slice) -> SearchHit | tuple[SearchHit, ...]:
        """The hit at a 0-based position, or a tuple of hits for a slice."""
        return self.hits[position]

    def __len__(self) -> int:
        """The number of hits."""
        return len(self.hits)

    @property
    def documents(self) -> list[Document]:
        """The documents, best first."""
        return [hit.document for hit in self.hits]


class Pipes:
    """What a retriever of ours can do: `retriever >> ranker`, `retriever >> ranker % 10`."""

    name: str

    def __rshift__(self: Any, then: Ranker | Stage) -> "Pipeline":
        """A pipeline of the retriever and a ranker."""
        return Pipeline(self, [as_stage(then)])


class Pipeline:
    """A retriever and the rankers after it, each on the best of the one before.

    Args:
        retriever: an object with `name` and `retrieve(query, k)`, and `aretrieve` if it can be awaited.
        stages: at least one; the last one's `keep` is how many hits there are.
        candidates: how many are retrieved.
        first_share: how much the retriever's score counts beside the last ranker's, 0 to 1: both are put on 0 to 1
            over the candidates of a query, and mixed. 0, the default, is the ranker alone.
        fields: of mappings, the fields that rankers read.
    """

    def __init__(
        self,
        retriever: Retriever,
        stages: Sequence[Stage],
        *,
        candidates: int = CANDIDATES,
        first_share: float = 0.0,
        fields: Sequence[str] | None = None,
    ) -> None:
        if not callable(getattr(retriever, "retrieve", None)):
            raise ArgumentTypeError(
                f"{retriever!r} cannot retrieve; give an object with retrieve(query, k), or Calling(function)"
            )
        if not 0 <= check_number("first_share", first_share) <= 1:
            raise UsageError(f"first_share={first_share} is no share; allowed: 0 to 1")
        if candidates < 1:
            raise UsageError(f"candidates={candidates} leaves nothing to rank; allowed: 1 or more")
        self.retriever, self.stages, self.candidates = retriever, list(stages), candidates
        self.first_share, self.fields = first_share, fields
        self._keep = self.stages[-1].keep if self.stages else None
        # The last cut is made here: where scores are fused, a document that the ranker has lower down may come up.
        last = [Stage(stage.ranker) for stage in self.stages[-1:]]
        self._ranker: Ranker = last[0].ranker if len(self.stages) == 1 else Cascade([*self.stages[:-1], *last])

    def __rshift__(self, then: Ranker | Stage) -> "Pipeline":
        """The pipeline with one ranker more."""
        return Pipeline(
            self.retriever,
            [*self.stages, as_stage(then)],
            candidates=self.candidates,
            first_share=self.first_share,
            fields=self.fields,
        )

    def search(self, query: str) -> SearchResult:
        """The best documents for the query, with the way each has taken."""
        check_query(query)
        started = time.perf_counter()
        found = retrieved(self.retriever, query, self.candidates)
        between = time.perf_counter()
        return self._result(query, found, ask(self._ranker, self._call(query, found)), started, between)

    async def asearch(self, query: str) -> SearchResult:
        """As `search`, awaitable: searches at a time share the ranker's batches."""
        check_query(query)
        started = time.perf_counter()
        found = await aretrieved(self.retriever, query, self.candidates)
        between = time.perf_counter()
        return self._result(query, found, await aask(self._ranker, self._call(query, found)), started, between)

    def _call(self, query: str, found: Sequence[Found]) -> Call:
        return Call.of(query, [item.document for item in found], fields=self.fields)

    def _result(
        self, query: str, found: Sequence[Found], ranking: Ranking, started: float, between: float
    ) -> SearchResult:
        hits = list(ranking)
        fused: dict[int, float] = {}
        if self.first_share:
            scores = {hit.index: hit.logit if hit.logit is not None else hit.score for hit in hits}
            fused = blended([item.score for item in found], scores, self.first_share)
            hits.sort(key=lambda hit: -fused[hit.index])
        placed = (
            SearchHit(rank, hit, found[hit.index], hit.index + 1, fused.get(hit.index))
            for rank, hit in zip(count(1), hits[: self._keep], strict=False)
        )
        now = time.perf_counter()
        timings = {"retrieve": between - started, "rank": now - between, "total": now - started}
        return SearchResult(tuple(placed), query, len(found), ranking, timings)


def as_stage(then: Ranker | Stage) -> Stage:
    """The stage, or the ranker as one that keeps all."""
    return then if isinstance(then, Stage) else Stage(then)
