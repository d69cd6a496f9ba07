"""How far an evaluation is: a bar with rate and time left on a terminal, nothing in pipes; a word when interrupted."""

from pathlib import Path

from crossrank.cli.printable import printable
from crossrank.cli.progress import Shown, queries_bar
from crossrank.evaluate.ranking import QueryRanked

NAME_MAX = 24


class QueriesShown(Shown):
    """Called after each query. On Ctrl-C it says what is kept, and what to do.

    Args:
        rankers: how many there are.
        folder: where finished queries are kept, if anywhere.
    """

    def __init__(self, rankers: int, folder: Path | None) -> None:
        self._rankers = rankers
        self._folder = folder
        self._done = self._total = 0

    def __call__(self, event: QueryRanked) -> None:
        """One query more is done."""
        self._total = self._rankers * event.total
        if not event.kept and self.bar is None:  # what was kept says nothing about the rate
            self.bar = queries_bar(self._total, self._done)
        self._done += 1
        if self.bar is not None:
            self.bar.set_description_str(printable(event.ranker)[-NAME_MAX:], refresh=False)
            self.bar.update()

    def when_interrupted(self) -> str:
        """How far it came, and what is kept."""
        kept = "--out DIR would have kept them."
        if self._folder is not None:
            kept = f"They are kept in {self._folder}; the same command goes on from there."
        return f"{self._done} of {self._total} queries were ranked. {kept}" if self._total else ""
