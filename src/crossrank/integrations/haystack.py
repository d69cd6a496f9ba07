"""Haystack: a ranker component. Its pipelines' YAML names it by the namespace that Haystack loads from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crossrank.arguments import Wanted
from crossrank.compat.arguments import Ignored
from crossrank.integrations.asking import Asking, Place, best, missing
from crossrank.integrations.haystack_documents import once, scaled, text_of
from crossrank.integrations.meaningless import HAYSTACK

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.core.errors import SerializationError
except ImportError as exc:
    raise missing("haystack-ai", "haystack", exc) from exc


@component
class CrossEncoderRanker:
    """The best documents for a query, best first, as copies with the model's score.

    Args:
        model: what `crossrank.Reranker` takes; None for the bundled model.
        top_k: how many documents are kept; None for all.
        device: see `crossrank.Reranker`; a `ComponentDevice` will do.
        query_prefix: goes before the query, as the following where their names say.
        query_suffix: see there.
        document_prefix: see there.
        document_suffix: see there.
        meta_fields_to_embed: whose values the model reads before the content.
        embedding_separator: stands between them.
        scale_score: None for the model's own scores, True for the sigmoid of its logits, False for the logits.
        score_threshold: only documents with at least this score.
        max_length: see `crossrank.Reranker`.
        ranker: any object with `rank` or `arank`, or `score(pairs)`, instead of a model; not for YAML.
        other: what stock rankers take and has no meaning here is warned about.
    """

    __module__ = "haystack_integrations.components.rankers.crossrank"  # what YAML says, and is allowed to load

    def __init__(
        self,
        *,
        model: str | None = None,
        top_k: int | None = 10,
        device: Any = None,
        query_prefix: str = "",
        query_suffix: str = "",
        document_prefix: str = "",
        document_suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        scale_score: bool | None = None,
        score_threshold: float | None = None,
        max_length: int | None = None,
        ranker: Any = None,
        **other: Any,
    ) -> None:
        device = device.to_torch_str() if hasattr(device, "to_torch_str") else device
        given = {name: value for name, value in locals().items() if name not in ("self", "ranker", "other")}
        Ignored().tell("CrossEncoderRanker()", other, HAYSTACK, {*given, "ranker"})
        Wanted.of(top_k, score_threshold)
        self.options: dict[str, Any] = given
        self._query, self._document = (query_prefix, query_suffix), (document_prefix, document_suffix)
        self._asking, self._written = Asking(model, ranker, device=device, max_length=max_length), ranker is None

    def warm_up(self) -> None:
        """Open the model."""
        self._asking.open()

    async def warm_up_async(self) -> None:
        """Open the model; the event loop goes on."""
        await self._asking.aopen()

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the ranker of again; nothing is opened for it."""
        if not self._written:
            raise SerializationError("CrossEncoderRanker(ranker=...) cannot be written; give model= instead")
        return default_to_dict(self, **self.options)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CrossEncoderRanker":
        """The ranker that `to_dict` wrote down."""
        return default_from_dict(cls, data)  # type: ignore[no-any-return]

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,  # noqa: FBT001 - Haystack's way
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents. What is None here is as the constructor was told; of equal ids one is kept."""
        wanted, given = self._wanted(top_k, score_threshold), once(documents)
        return self._best(given, wanted, self._asking.places(*self._asked(query, given)), scale=scale_score)

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,  # noqa: FBT001 - Haystack's way
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, in no thread of its own: concurrent runs share batches."""
        wanted, given = self._wanted(top_k, score_threshold), once(documents)
        return self._best(given, wanted, await self._asking.aplaces(*self._asked(query, given)), scale=scale_score)

    def _wanted(self, top_k: int | None, threshold: float | None) -> Wanted:
        told = self.options["top_k"], self.options["score_threshold"]
        return Wanted.of(told[0] if top_k is None else top_k, told[1] if threshold is None else threshold)

    def _asked(self, query: str, documents: Sequence[Document]) -> tuple[str, list[str]]:
        fields, separator = self.options["meta_fields_to_embed"], self.options["embedding_separator"]
        return query.join(self._query), [text_of(each, fields, separator).join(self._document) for each in documents]

    def _best(
        self, documents: Sequence[Document], wanted: Wanted, places: list[Place], *, scale: bool | None
    ) -> dict[str, list[Document]]:
        scale = self.options["scale_score"] if scale is None else scale
        marked = [place._replace(score=scaled(place, sigmoid=scale)) for place in places]
        kept = best(marked, wanted.top_k, wanted.threshold)
        return {"documents": [replace(documents[place.at], score=place.given) for place in kept]}
