"""How it is measured: how much of what, how often, how long, and for how much money."""

from dataclasses import dataclass

from crossrank.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """How it is measured.

    Attributes:
        documents: of a query, each a case.
        case_s_max: seconds for the repeats of a case; a case of which a single call would take longer is left out.
        repeats_max: of a case; of an API, which is paid for, `repeats_api`.
        spread_max: no more repeats once the median is known so well: half the width of its 95 % interval, as a share.
        cold_starts: processes that are started for the cold start; it is their median.
        timeout_s: for any single call, loading and the first answer included; whoever takes longer is ended.
        cost_max_usd: what all vendors together may be paid, by estimate; None for no limit.
    """

    documents: tuple[int, ...] = (20, 100, 1000)
    case_s_max: float = 20.0
    repeats_max: int = 25
    repeats_api: int = 5
    spread_max: float = 0.05
    cold_starts: int = 3
    timeout_s: float = 300.0
    cost_max_usd: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would measure nothing; fewer documents come first, as they foretell what more will take."""
        object.__setattr__(self, "documents", tuple(sorted(set(self.documents))))
        least = {"documents": min(self.documents, default=0), "repeats_max": self.repeats_max}
        for name, value in {**least, "repeats_api": self.repeats_api, "cold_starts": self.cold_starts}.items():
            if value < 1:
                raise UsageError(f"{name} has {value}; allowed: 1 or more")
        for name, seconds in {"case_s_max": self.case_s_max, "timeout_s": self.timeout_s}.items():
            if not seconds > 0:
                raise UsageError(f"{name}={seconds} leaves no time; give a number above 0")


@dataclass(slots=True)
class Purse:
    """What remote models may spend together, and did.

    Attributes:
        limit_usd: None for no limit.
    """

    limit_usd: float | None
    spent_usd: float = 0.0

    @property
    def left_usd(self) -> float | None:
        """For the next model; a budget must leave something, so a used-up one leaves a billionth of a dollar."""
        return None if self.limit_usd is None else max(1e-9, self.limit_usd - self.spent_usd)
