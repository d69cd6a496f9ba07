"""What callers may give to a remote reranker: every option is checked here, before anything is opened.

It knows types and ranges; not what the options do.
"""

import math
from dataclasses import dataclass
from operator import index as as_index
from typing import Any, TypeVar

from crossrank.arguments import Wanted, check_number, check_unicode
from crossrank.engine.cache import Guarded, open_cache
from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.rankers import Fallback, check_ranker
from crossrank.remote.budget import Budget
from crossrank.remote.costs import Price
from crossrank.remote.limits import Limits
from crossrank.remote.retry import Retry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How a target is called, whoever it is; see RemoteReranker."""

    timeout_s: float
    retry: Retry
    concurrency: int
    limits: Limits | None
    price: Price | None
    cache: Guarded | None
    instruction: str | None
    fallback: Fallback | None
    budget: Budget | None

    @classmethod
    def of(cls, given: dict[str, Any]) -> "RemoteOptions":
        """The options, checked."""
        return cls(
            timeout_s=_positive("timeout_s", given["timeout_s"]),
            retry=_instance("retry", given["retry"], Retry) or Retry(),
            concurrency=_count("concurrency", given["concurrency"]),
            limits=_instance("limits", given["limits"], Limits),
            price=_instance("price", given["price"], Price),
            cache=open_cache(given["cache"]),
            instruction=check_instruction(given["instruction"]),
            fallback=None if given["fallback"] is None else check_ranker(given["fallback"], "fallback"),
            budget=_budget(given["cost_max_usd"]),
        )


def check_wanted(top_k: Any, threshold: Any, threshold_on: Any) -> Wanted:
    """Which hits are wanted of a ranking that has no probabilities."""
    wanted = Wanted.of(top_k, threshold, threshold_on)
    if wanted.threshold_on == "probability":
        raise UsageError(
            "threshold_on='probability', but a remote model's scores have no calibration; leave it out for a "
            "threshold on the score, or rank with a model on this machine that has one"
        )
    return wanted


def check_instruction(instruction: Any) -> str | None:
    """An instruction that says something, or None."""
    if instruction is not None and not isinstance(instruction, str):
        raise ArgumentTypeError(f"instruction must be a str, not {type(instruction).__name__}")
    if instruction is not None:
        if not instruction.strip():
            raise UsageError("instruction is empty; leave it out")
        check_unicode(instruction, "instruction")
    return instruction


def _positive(name: str, value: Any) -> float:
    number = check_number(name, value)
    if not math.isfinite(number) or number <= 0:
        raise UsageError(f"{name}={value} leaves nothing; give a number above 0")
    return number


def _budget(value: Any) -> Budget | None:
    return value if value is None or isinstance(value, Budget) else Budget(_positive("cost_max_usd", value))


def _count(name: str, value: Any) -> int:
    try:
        count = None if isinstance(value, bool) else as_index(value)
    except TypeError:
        count = None
    if count is None:
        raise ArgumentTypeError(f"{name} must be a whole number of at least 1, not {value!r}")
    if count < 1:
        raise UsageError(f"{name}={count} lets nothing through; give at least 1")
    return count


def _instance(name: str, value: Any, kind: type[T]) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    raise ArgumentTypeError(f"{name} must be a crossrank.remote.{kind.__name__}, not {type(value).__name__}")
