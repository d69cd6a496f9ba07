"""A ranker that is made of others: one description of whom to ask in which order, for callers who wait and who await.

It knows the protocol of rankers; not which ones they are.
"""

from collections.abc import Callable, Generator, Sequence

from crossrank.arguments import ThresholdOn
from crossrank.composition.stage import Keeps
from crossrank.lifetime import Closes
from crossrank.rankers import Call, Fallback, aask, ask
from crossrank.types import Document, Ranking

Steps = Generator[tuple[Fallback, Call], Ranking, Ranking]  # rankers to ask in turn; told what they say or raise


class Composed(Keeps, Closes):
    """Ranks by its steps. `rankers` are those that it may ask."""

    rankers: Sequence[Fallback]

    def _steps(self, call: Call) -> Steps:
        """Whom to ask, and what comes of it."""
        raise NotImplementedError

    def rank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """The documents in order of relevance to the query; arguments as in `Reranker.rank`.

        What says when, `deadline_s` and `priority`, is passed on to those of the rankers that take it.

        Raises:
            UsageError: an option changes the answer, and one of the rankers does not take it.
        """
        call = Call.of(query, documents, top_k, threshold, fields, instruction, deadline_s, threshold_on, priority)
        return _follow(self._steps(call))

    async def arank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """As `rank`, awaitable; a ranker that cannot be awaited is asked in a thread."""
        call = Call.of(query, documents, top_k, threshold, fields, instruction, deadline_s, threshold_on, priority)
        return await _afollow(self._steps(call))

    def close(self) -> None:
        """Close the rankers that it asks."""
        for ranker in self.rankers:
            close: Callable[[], None] | None = getattr(ranker, "close", None)
            if close is not None:
                close()


def _follow(steps: Steps) -> Ranking:
    """What the steps come to."""
    try:
        asked = next(steps)
        while True:
            try:
                ranking = ask(*asked)
            except Exception as exc:  # noqa: BLE001 - what it means is the steps' business
                asked = steps.throw(exc)
            else:
                asked = steps.send(ranking)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _afollow(steps: Steps) -> Ranking:
    """As `_follow`, awaitable."""
    try:
        asked = next(steps)
        while True:
            try:
                ranking = await aask(*asked)
            except Exception as exc:  # noqa: BLE001 - what it means is the steps' business
                asked = steps.throw(exc)
            else:
                asked = steps.send(ranking)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
