"""Measures groups of subjects, one group after the other, and keeps what was measured also if it is interrupted.

It knows groups and cases; not processes, and not how a table looks.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from crossrank.bench.measured import Case, Opened
from crossrank.bench.options import Options, Purse
from crossrank.bench.shapes import Shape
from crossrank.bench.subjects import Group
from crossrank.bench.texts import Texts
from crossrank.bench.warm import Warm


@dataclass(frozen=True, slots=True)
class Step:
    """What is done now, and how far it all is."""

    text: str
    cases_done: int
    cases: int


@dataclass(slots=True)
class Bench:
    """A run.

    Attributes:
        on_step: called whenever something else is done.
        cases: grows as the run goes.
        purse: what was spent on remote models.
    """

    texts: Texts
    options: Options = field(default_factory=Options)
    on_step: Callable[[Step], None] = lambda _: None
    cases: list[Case] = field(default_factory=list)
    purse: Purse = field(init=False)
    _total: int = 0
    _done: int = 0

    def __post_init__(self) -> None:
        """Fill the purse."""
        self.purse = Purse(self.options.cost_max_usd)

    def run(self, groups: Sequence[Group]) -> None:
        """Measure all; a subject that fails has its reason in its cases, and stops no other."""
        self._total = sum(len(group.subjects) for group in groups) * len(self.options.documents)
        for group in groups:
            self._group(group)

    @property
    def interrupted(self) -> bool:
        """Whether anything is left to measure."""
        return self._done < self._total

    def _group(self, group: Group) -> None:
        def say(text: str) -> None:
            self.on_step(Step(f"{group.model}: {text}", self._done, self._total))

        with TemporaryDirectory(prefix="crossrank-bench-") as scratch, ExitStack() as stack:
            if isinstance(group.place, Shape):
                say("writing random weights")
            try:
                model = stack.enter_context(group.opened())
            except (OSError, MemoryError) as exc:  # a shape takes gigabytes of disk and of memory
                self._refuse(group, f"its checkpoint cannot be written: {exc or 'not enough memory'}")
                return
            warm = stack.enter_context(Warm(group, model, Path(scratch), self.texts, self.options, self.purse, say))
            for subject in group.subjects:
                warm.open(subject)
            for count in self.options.documents:
                warm.measure(count, self.cases)
                self._done += len(group.subjects)

    def _refuse(self, group: Group, error: str) -> None:
        opened = [Opened(subject) for subject in group.subjects]
        self.cases += [Case(group, one, count, error=error) for count in self.options.documents for one in opened]
        self._done += len(opened) * len(self.options.documents)
