"""A `BaseCrossEncoder` of LangChain's."""

from typing import Any

from crossrank.integrations.asking import Asking, missing

try:
    from langchain_core.cross_encoders import BaseCrossEncoder
except ImportError as exc:
    raise missing("langchain-core 1.2.19 or newer", "langchain", exc) from exc


class CrossRankCrossEncoder(BaseCrossEncoder):
    """A `BaseCrossEncoder`: goes wherever LangChain takes one, `CrossEncoderReranker` of langchain-classic included."""

    def __init__(
        self,
        model_name: str | None = None,
        *,
        device: str | None = None,
        max_length: int | None = None,
        ranker: Any = None,
    ) -> None:
        self._asking = Asking(model_name, ranker, device=device, max_length=max_length)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """A score a (query, text) pair, in order."""
        return self._asking.scores(text_pairs)

    async def ascore(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """As `score`, awaited."""
        return await self._asking.ascores(text_pairs)

    def __repr__(self) -> str:
        """The model, which is not opened for it."""
        return f"CrossRankCrossEncoder({self._asking.name!r})"
