"""LlamaIndex: a node postprocessor. The nodes it is given stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crossrank.compat.arguments import Ignored
from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.integrations.asking import Asking, Place, best, missing, valid
from crossrank.integrations.meaningless import LLAMAINDEX

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
    from llama_index.core.callbacks import CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError as exc:
    raise missing("llama-index-core", "llamaindex", exc) from exc

dispatcher = get_dispatcher(__name__)


class CrossEncoderPostprocessor(BaseNodePostprocessor):
    """The best `top_n` nodes, best first, as new `NodeWithScore`s with the model's score.

    The model reads what LlamaIndex embeds: the text with its metadata, less `excluded_embed_metadata_keys`.

    Attributes:
        model: what `crossrank.Reranker` takes; None for the bundled model.
        top_n: how many nodes are kept; None for all.
        device: see `crossrank.Reranker`.
        keep_retrieval_score: put the score that a node came with into `metadata["retrieval_score"]`, of a copy.
        threshold: only nodes with at least this score.
        max_length: see `crossrank.Reranker`.
        ranker: any object with `rank` or `arank`, or `score(pairs)`, instead of a model.
    """

    model: str | None = Field(default=None, frozen=True)
    top_n: int | None = Field(default=2, ge=1)
    device: str | None = Field(default=None, frozen=True)
    keep_retrieval_score: bool = False
    threshold: float | None = None
    max_length: int | None = Field(default=None, frozen=True)
    ranker: Any = Field(default=None, exclude=True, frozen=True)
    _asking: Asking = PrivateAttr()

    def __init__(self, top_n: int | None = 2, model: str | None = None, **fields: Any) -> None:
        known = {*type(self).model_fields, "class_name"}
        other = {name: fields.pop(name) for name in set(fields) - known}
        Ignored().tell("CrossEncoderPostprocessor()", other, LLAMAINDEX, known)
        super().__init__(top_n=top_n, model=model, **fields)
        self._asking = Asking(self.model, self.ranker, device=self.device, max_length=self.max_length)

    @field_validator("ranker")
    @classmethod
    def _can_be_asked(cls, value: Any) -> Any:
        return None if value is None else valid(value)

    @classmethod
    def class_name(cls) -> str:
        """What serialised copies are known by."""
        return "CrossEncoderPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _asked(nodes, query_bundle)
        if not texts:
            return []
        with self._told(nodes, query) as found:
            found.extend(self._best(nodes, self._asking.places(query, texts)))
        return found

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _asked(nodes, query_bundle)
        if not texts:
            return []
        with self._told(nodes, query) as found:
            found.extend(self._best(nodes, await self._asking.aplaces(query, texts)))
        return found

    @contextmanager
    def _told(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Tells LlamaIndex's listeners of the start, and at the end of what the body has put into the list."""
        name, found = self._asking.name, list[NodeWithScore]()
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=self.top_n or len(nodes), model_name=name))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield found
            event.on_end(payload={EventPayload.NODES: found})
        dispatcher.event(ReRankEndEvent(nodes=found))

    def _best(self, nodes: list[NodeWithScore], places: list[Place]) -> list[NodeWithScore]:
        found = []
        for place in best(places, self.top_n, self.threshold):
            given = nodes[place.at]
            node = given.node
            if self.keep_retrieval_score:
                node = node.model_copy(update={"metadata": {**node.metadata, "retrieval_score": given.score}})
            found.append(NodeWithScore(node=node, score=place.given))
        return found


def _asked(nodes: list[NodeWithScore], query_bundle: QueryBundle | None) -> tuple[str, list[str]]:
    if query_bundle is None:
        raise UsageError("There is no query to rank by; give query_str= or query_bundle=")
    for index, node in enumerate(nodes):
        if not isinstance(node, NodeWithScore):
            raise ArgumentTypeError(f"nodes[{index}] is {type(node).__name__}; give llama_index NodeWithScore")
    return query_bundle.query_str, [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
