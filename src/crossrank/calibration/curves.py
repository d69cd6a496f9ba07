"""The two curves that turn a logit into a probability, both of them never falling. Pure arithmetic.

Platt: a sigmoid with a slope and an intercept of its own (Platt, "Probabilistic outputs for support vector machines",
1999). Isotonic: whatever never falls, as knots with straight lines between them (Zadrozny and Elkan, "Transforming
classifier scores into accurate multiclass probability estimates", KDD 2002).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import UsageError

Logits = NDArray[np.float32]
Probabilities = NDArray[np.float64]


def sigmoid(values: NDArray[np.floating[Any]]) -> Probabilities:
    """1 / (1 + exp(-x)), float64 of any float array."""
    with np.errstate(over="ignore"):  # exp may overflow to inf, and 1 / inf is the right answer
        probabilities: Probabilities = 1.0 / (1.0 + np.exp(-values.astype(np.float64)))
    return probabilities


@dataclass(frozen=True, slots=True)
class Platt:
    """sigmoid(slope * logit + intercept); the slope is not below 0."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that are no such curve."""
        if not (_finite(self.slope, self.intercept) and self.slope >= 0):
            raise UsageError(
                f"slope={self.slope!r}, intercept={self.intercept!r}: finite numbers, the slope not below 0"
            )

    def probability(self, logits: Logits) -> Probabilities:
        """Float64 [n] of float32 [n]."""
        return sigmoid(self.slope * logits.astype(np.float64) + self.intercept)

    def as_json(self) -> dict[str, Any]:
        """The curve as JSON can hold it."""
        return {"method": "platt", "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Knots, from left to right: logits that rise, with probabilities that never fall; beyond the ends it is flat."""

    logits: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that are no such curve."""
        if not self.logits or len(self.logits) != len(self.probabilities):
            raise UsageError("an isotonic curve has as many logits as probabilities, at least one")
        rising = all(a < b for a, b in pairwise(self.logits)) and all(a <= b for a, b in pairwise(self.probabilities))
        within = all(_finite(p) and 0 <= p <= 1 for p in self.probabilities)
        if not (rising and within and _finite(*self.logits)):
            raise UsageError("an isotonic curve's logits rise, and its probabilities, from 0 to 1, never fall")

    def probability(self, logits: Logits) -> Probabilities:
        """Float64 [n] of float32 [n]."""
        knots, levels = np.array(self.logits), np.array(self.probabilities)
        within = np.clip(logits.astype(np.float64), knots[0], knots[-1])
        left = np.searchsorted(knots[1:], within)
        right = np.minimum(left + 1, len(knots) - 1)
        width = np.where(right > left, knots[right] - knots[left], 1.0)
        # NOTE: not np.interp, which rounds so that it may fall by the last bit. Here every step keeps the order.
        risen = levels[left] + (levels[right] - levels[left]) * ((within - knots[left]) / width)
        found: Probabilities = np.minimum(risen, levels[right])
        return found

    def as_json(self) -> dict[str, Any]:
        """The curve as JSON can hold it."""
        return {"method": "isotonic", "logits": list(self.logits), "probabilities": list(self.probabilities)}


Curve = Platt | Isotonic


def curve_of(content: Mapping[str, Any]) -> Curve:
    """The curve of what `as_json` gave; KeyError, TypeError or ValueError for anything else."""
    match content["method"]:
        case "platt":
            return Platt(float(content["slope"]), float(content["intercept"]))
        case "isotonic":
            return Isotonic(*(tuple(float(x) for x in content[name]) for name in ("logits", "probabilities")))
        case method:
            raise ValueError(f"the method {method!r} is not known")


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
