"""What may be spent: calls are estimated before they are sent, and counted when they are answered.

It knows billionths of a dollar; not what is called or what a price is.
"""

import threading

from crossrank.errors import UsageError
from crossrank.forks import in_children
from crossrank.remote.costs import NANO
from crossrank.remote.failures import BudgetError


class Budget:
    """Dollars for one remote reranker or for several together, in this process.

    What would go beyond it is not sent. Where a vendor bills more than was estimated, calls that are under way at that
    moment can go beyond it.

    Args:
        usd_max: dollars; above 0.
    """

    def __init__(self, usd_max: float) -> None:
        if not 0 < usd_max < float("inf"):
            raise UsageError(f"a budget of {usd_max} dollars leaves nothing to spend; give a number above 0")
        self.usd_max = usd_max
        self._lock = threading.Lock()
        self._spent = self._reserved = 0
        in_children(self, Budget._forked)

    @property
    def spent_usd(self) -> float:
        """Estimated dollars of what was answered."""
        return self._spent / NANO

    def reserve(self, nanousd: int) -> None:
        """Put aside what is about to be sent.

        Raises:
            BudgetError: it would go beyond the budget, with what is spent and what is under way.
        """
        with self._lock:
            if self._spent + self._reserved + nanousd > self.usd_max * NANO:
                under_way = f" and {self._reserved / NANO:.4f} under way" if self._reserved else ""
                raise BudgetError(
                    f"{self._spent / NANO:.4f} dollars are spent{under_way}, by estimate, of a budget of "
                    f"{self.usd_max:g}; this query would take about {nanousd / NANO:.4f} more, and is not sent. "
                    "Give a larger budget."
                )
            self._reserved += nanousd

    def settle(self, reserved: int, nanousd: int) -> None:
        """Count what was billed, in place of what had been put aside for it."""
        with self._lock:
            self._reserved -= reserved
            self._spent += nanousd

    def __reduce__(self) -> tuple[type["Budget"], tuple[float]]:
        """Pickled as its size: another process spends for itself."""
        return (Budget, (self.usd_max,))

    def __repr__(self) -> str:
        """What is spent, of how much."""
        return f"Budget({self.usd_max:g}, spent {self.spent_usd:.4f})"

    def _forked(self) -> None:
        """Start a child with a free lock and nothing under way: what the parent's threads were at is the parent's."""
        self._lock, self._reserved = threading.Lock(), 0
