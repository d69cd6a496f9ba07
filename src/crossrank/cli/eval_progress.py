"""How far an evaluation is: a bar with rate and time left on a terminal, nothing in pipes; a word when interrupted."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from crossrank.cli.printable import printable
from crossrank.cli.progress import QueriesBar
from crossrank.evaluate.ranking import QueryRanked

NAME_MAX = 24


class QueriesShown:
    """Called after each query. On Ctrl-C it says what is kept, and what to do.

    Args:
        rankers: how many there are.
        folder: where finished queries are kept, if anywhere.
        remedy: what to do where nothing is.
    """

    def __init__(self, rankers: int, folder: Path | None, *, remedy: str) -> None:
        self._rankers, self._folder, self._remedy = rankers, folder, remedy
        self._done = self._total = 0
        self._bar: QueriesBar | None = None

    def begin(self) -> None:
        """All models are open; the first query is ranked now."""
        self._bar = QueriesBar()

    def __call__(self, event: QueryRanked) -> None:
        """One query more is done."""
        self._total = self._rankers * event.total
        self._done += 1
        if self._bar is not None and event.kept:
            self._bar.skip(1)
        elif self._bar is not None:
            self._bar.update(printable(event.ranker)[-NAME_MAX:], self._total)

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        if isinstance(exc, KeyboardInterrupt) and self._total:
            kept = self._remedy
            if self._folder is not None:
                kept = f"They are kept in {self._folder}; the same command goes on from there."
            sys.stderr.write(f"{self._done} of {self._total} queries were ranked. {kept}\n")
