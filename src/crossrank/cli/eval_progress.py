"""How far an evaluation is: a bar with rate and time left on a terminal, nothing in pipes; a word when interrupted."""

from pathlib import Path

from crossrank.cli.printable import printable
from crossrank.cli.progress import QueriesBar, Shown
from crossrank.evaluate.ranking import QueryRanked

NAME_MAX = 24


class QueriesShown(Shown):
    """Called after each query. On Ctrl-C it says what is kept, and what to do.

    Args:
        rankers: how many there are.
        folder: where finished queries are kept, if anywhere.
        remedy: what to do where nothing is.
    """

    bar: QueriesBar | None = None

    def __init__(self, rankers: int, folder: Path | None, *, remedy: str) -> None:
        self._rankers, self._folder, self._remedy = rankers, folder, remedy
        self._done = self._total = 0

    def begin(self) -> None:
        """All models are open; the first query is ranked now."""
        self.bar = QueriesBar()

    def __call__(self, event: QueryRanked) -> None:
        """One query more is done."""
        self._total = self._rankers * event.total
        self._done += 1
        if self.bar is not None and event.kept:
            self.bar.skip(1)
        elif self.bar is not None:
            self.bar.update(printable(event.ranker)[-NAME_MAX:], self._total)

    def when_interrupted(self) -> str:
        """How far it came, and what is kept."""
        kept = self._remedy
        if self._folder is not None:
            kept = f"They are kept in {self._folder}; the same command goes on from there."
        return f"{self._done} of {self._total} queries were ranked. {kept}" if self._total else ""
