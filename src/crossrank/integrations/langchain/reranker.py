"""A document compressor of LangChain's: the best documents, with scores, on copies."""

from collections.abc import Sequence
from typing import Any

from crossrank.errors import ArgumentTypeError
from crossrank.integrations.asking import Asking, Place, best, missing, valid

try:
    from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field, PrivateAttr, field_serializer, field_validator
except ImportError as exc:
    raise missing("langchain-core 1.2.19 or newer", "langchain", exc) from exc


class CrossEncoderReranker(BaseDocumentCompressor):
    """The best `top_n` documents, best first, as copies with `metadata["relevance_score"]`.

    Attributes:
        model: what `crossrank.Reranker` takes, or an object that scores pairs, as any `BaseCrossEncoder`.
        top_n: how many documents are kept; None for all.
        threshold: only documents with at least this score.
        device: see `crossrank.Reranker`.
        max_length: see there.
        ranker: any object with `rank` or `arank`, or `score(pairs)`, instead of a model.
    """

    model: Any = Field(default=None, frozen=True)
    top_n: int | None = Field(default=3, ge=1)
    threshold: float | None = None
    device: str | None = Field(default=None, frozen=True)
    max_length: int | None = Field(default=None, frozen=True)
    ranker: Any = Field(default=None, exclude=True, frozen=True)
    _asking: Asking = PrivateAttr()

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", validate_assignment=True)

    @field_validator("model", "ranker")
    @classmethod
    def _can_be_asked(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else valid(value)

    @field_serializer("model")
    def _named(self, value: Any) -> str | None:
        return value if value is None or isinstance(value, str) else type(value).__name__

    def model_post_init(self, context: Any) -> None:
        """Prepare what is asked; nothing is opened yet."""
        named = self.model is None or isinstance(self.model, str)
        given = {"model": self.model, "ranker": self.ranker} if named else {"ranker": self.model}
        self._asking = Asking(**given, device=self.device, max_length=self.max_length)
        super().model_post_init(context)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents, as copies; traced as a run of its own where there are callbacks."""
        texts = _texts(documents)
        if callbacks is None or not texts:
            return self._best(documents, self._asking.places(query, texts))
        run = CallbackManager.configure(inheritable_callbacks=callbacks).on_chain_start(
            None, {"query": query, "documents": list(documents)}, name=type(self).__name__
        )
        try:
            found = self._best(documents, self._asking.places(query, texts))
        except BaseException as exc:
            run.on_chain_error(exc)
            raise
        run.on_chain_end({"documents": found})
        return found

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """As `compress_documents`, in no thread of its own: concurrent calls share batches."""
        texts = _texts(documents)
        if callbacks is None or not texts:
            return self._best(documents, await self._asking.aplaces(query, texts))
        run = await AsyncCallbackManager.configure(inheritable_callbacks=callbacks).on_chain_start(
            None, {"query": query, "documents": list(documents)}, name=type(self).__name__
        )
        try:
            found = self._best(documents, await self._asking.aplaces(query, texts))
        except BaseException as exc:
            await run.on_chain_error(exc)
            raise
        await run.on_chain_end({"documents": found})
        return found

    def _best(self, documents: Sequence[Document], places: list[Place]) -> list[Document]:
        return [
            (given := documents[place.at]).model_copy(
                update={"metadata": {**given.metadata, "relevance_score": place.given}}
            )
            for place in best(places, self.top_n, self.threshold)
        ]


def _texts(documents: Sequence[Document]) -> list[str]:
    for index, document in enumerate(documents):
        if not isinstance(document, Document):
            raise ArgumentTypeError(
                f"documents[{index}] is {type(document).__name__}; give langchain_core.documents.Document"
            )
    return [document.page_content for document in documents]
