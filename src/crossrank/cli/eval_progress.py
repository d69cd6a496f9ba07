"""How far an evaluation is: a bar with rate and time left on a terminal, nothing in pipes; a word when interrupted."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crossrank.cli.printable import printable
from crossrank.cli.progress import queries_bar
from crossrank.evaluate.ranking import QueryRanked

NAME_MAX = 24


class QueriesShown:
    """Called after each query. On Ctrl-C it says what is kept, and what to do.

    Args:
        rankers: how many there are.
        folder: where finished queries are kept, if anywhere.
    """

    def __init__(self, rankers: int, folder: Path | None) -> None:
        self._rankers = rankers
        self._folder = folder
        self._done = self._total = 0
        self._bar: Any = None

    def __call__(self, event: QueryRanked) -> None:
        """One query more is done."""
        self._total = self._rankers * event.total
        if not event.kept and self._bar is None:  # what was kept says nothing about the rate
            self._bar = queries_bar(self._total, self._done)
        self._done += 1
        if self._bar is not None:
            self._bar.set_description_str(printable(event.ranker)[-NAME_MAX:], refresh=False)
            self._bar.update()

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
            kept = "--out DIR would have kept them."
            if self._folder is not None:
                kept = f"They are kept in {self._folder}; the same command goes on from there."
            sys.stderr.write(f"{self._done} of {self._total} queries were ranked. {kept}\n")
