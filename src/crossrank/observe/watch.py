"""A ranking from its call to its end: whatever ends it, one event says so. It knows counts; not what is counted."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from crossrank.observe.events import OK, STAGES, RankingDone
from crossrank.observe.hooks import emit, listening

NANO = 1_000_000_000
COUNTS = ("pairs", "cached", "tokens", "search_units", "retries")


class Watch:
    """Emits `RankingDone` at its end, with what was noted until then.

        with Watch("crossrank-mini", "rank", len(documents)) as watch:
            ...
            watch.note(ranking.usage, ranking.timings)

    What was noted before a failure counts too: a vendor bills it. Who subscribes meanwhile hears of the next one.
    """

    __slots__ = ("_call", "_documents", "_heard", "_model", "_noted", "_started")

    def __init__(self, model: str, call: str, documents: int) -> None:
        self._model = model
        self._call = call
        self._documents = documents
        self._heard = listening()
        self._noted: list[tuple[Mapping[str, int], Mapping[str, float]]] = []
        self._started = time.perf_counter()

    def note(self, usage: Mapping[str, int], timings: Mapping[str, float]) -> None:
        """Add counts and seconds, in the words of a `Ranking`; others are not looked at."""
        if self._heard:
            self._noted.append((usage, timings))

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what became of it."""
        if self._heard:
            counts = {name: sum(usage.get(name, 0) for usage, _ in self._noted) for name in COUNTS}
            seconds = {f"{stage}_s": sum(timings.get(stage, 0.0) for _, timings in self._noted) for stage in STAGES}
            emit(
                RankingDone(
                    model=self._model,
                    call=self._call,
                    documents=self._documents,
                    total_s=time.perf_counter() - self._started,
                    outcome=OK if kind is None else kind.__name__,
                    cost_usd=sum(usage.get("cost_nanousd", 0) for usage, _ in self._noted) / NANO,
                    **counts,
                    **seconds,  # type: ignore[arg-type] # mypy takes all names of a mapping for all fields
                )
            )
