"""What was measured of a subject with so many documents, and what it comes to as a row of plain values."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from crossrank.bench.subjects import Group, Subject
from crossrank.bench.timing import percentile, spread

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Cold:
    """A beginning in a new process: seconds, medians of several.

    Attributes:
        total_s: from the process's start to its first answer.
        import_s: of it, the libraries.
        open_s: of it, the model.
        answer_s: of it, the first question.
    """

    total_s: float
    import_s: float
    open_s: float
    answer_s: float

    @classmethod
    def median(cls, begun: "Sequence[Cold]") -> "Cold":
        """Of each part."""
        return cls(*(statistics.median(values) for values in zip(*map(astuple, begun), strict=True)))


@dataclass(slots=True)
class Opened:
    """A subject in its process, or why it is in none."""

    subject: Subject
    precision: str = ""
    device: str = ""
    detail: str = ""
    cold: Cold | None = None
    setting: str | None = None
    error: str = ""

    @property
    def named(self) -> str:
        """While it is opened, device and precision are what was asked for."""
        return " ".join(part for part in (self.subject.by, self.subject.label) if part)


@dataclass(slots=True)
class Case:
    """A subject with a number of documents.

    Attributes:
        seconds: of each repeat.
        tokens: of each repeat, where the library tells.
        cost_usd: of each repeat, of an API with a price.
        peak_bytes: the most resident memory of its process during this case.
        error: why nothing was measured, or nothing more.
    """

    group: Group
    opened: Opened
    documents: int
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    cost_usd: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    gpu_peak_bytes: int = 0
    error: str = ""

    @property
    def p50_s(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    def add(self, answer: Mapping[str, Any]) -> None:
        """A repeat, as its process told it."""
        told: Mapping[str, Any] = answer["told"]
        self.seconds.append(answer["seconds"])
        self.peak_bytes = max(self.peak_bytes, answer["peak_bytes"])
        self.gpu_peak_bytes = max(self.gpu_peak_bytes, told.get("gpu_peak_bytes", 0))
        self.tokens += [told["tokens"]] if "tokens" in told else []
        self.cost_usd += [told["cost_usd"]] if "cost_usd" in told else []

    def as_row(self, price_hour: float | None) -> dict[str, Any]:
        """Plain values; those that were not measured are None.

        Args:
            price_hour: dollars of this machine, for the cost of a thousand queries asked one after the other.
        """
        opened, cold = self.opened, self.opened.cold
        row: dict[str, Any] = {
            "kind": "measured",
            "model": self.group.model,
            "weights": self.group.weights,
            "by": opened.subject.by,
            "device": opened.device,
            "precision": opened.precision,
            "documents": self.documents,
            "runs": len(self.seconds),
            "detail": opened.detail,
            "setting": opened.setting,
            "error": self.error,
            "cold_s": None if cold is None else round(cold.total_s, 4),
            "import_s": None if cold is None else round(cold.import_s, 4),
            "open_s": None if cold is None else round(cold.open_s, 4),
        }
        if not self.seconds:
            return row
        median = self.p50_s
        tokens = statistics.mean(self.tokens) if self.tokens else None
        return {
            **row,
            "p50_s": round(median, 6),
            "p95_s": round(percentile(self.seconds, 0.95), 6),
            "spread": None if (found := spread(self.seconds)) is None else round(found, 4),
            "pairs_per_s": round(self.documents / median, 1),
            "tokens": None if tokens is None else round(tokens),
            "tokens_per_s": None if tokens is None else round(tokens / median),
            "peak_bytes": self.peak_bytes,
            "gpu_peak_bytes": self.gpu_peak_bytes or None,
            "usd_per_1000_queries": self._cost(price_hour),
            "seconds": [round(seconds, 6) for seconds in self.seconds],
        }

    def _cost(self, price_hour: float | None) -> float | None:
        if self.group.remote:
            return round(1000 * statistics.mean(self.cost_usd), 6) if self.cost_usd else None
        return None if price_hour is None else round(1000 * self.p50_s * price_hour / HOUR_S, 6)
