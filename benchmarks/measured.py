"""What a benchmark gives: lines for a reader, and rows of plain values for benchmarks/results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from crossrank.bench.machine import Machine
from crossrank.bench.result import Result

Line = tuple[str, str, str]  # what, measured, target or ratio


@dataclass(frozen=True, slots=True)
class Measured:
    """Lines are printed; rows, settings and notes are kept."""

    lines: list[Line]
    rows: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """Of a benchmark whose lines are all there is to keep."""
        kept = list(lines)
        return cls(kept, tuple(dict(zip(("what", "measured", "target"), line, strict=True)) for line in kept))

    def result(self, name: str, machine: Machine) -> Result:
        """As it is kept."""
        return Result(name, machine, self.rows, self.settings, self.notes)
