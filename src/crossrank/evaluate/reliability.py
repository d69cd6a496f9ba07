"""How far probabilities can be believed: calibration error, Brier score, log loss, and the threshold for a precision.

Pure arithmetic on arrays; it knows no rankers, curves or files.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Relevant = NDArray[np.bool_]

BINS = 15
BIN_MIN = 10  # pairs in a bin; of fewer the observed rate says little
Z = 1.959963984540054  # of a 95 % interval
LOG_MIN = 1e-12  # probabilities are not nearer to 0 and 1 in the log loss


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about the same probability.

    Attributes:
        count: how many.
        predicted: their mean probability.
        observed: the share of them that is relevant.
        low: of the 95 % interval of `observed`.
        high: of the same.
    """

    count: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities agree with what was observed.

    Attributes:
        ece: expected calibration error: mean |observed - predicted| over bins of equal mass, weighted by their counts.
            Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015;
            bins of equal mass, which are less biased, as in Roelofs et al., "Mitigating bias in calibration error
            estimation", AISTATS 2022.
        ece_by_chance: what it would be about if all probabilities were right: so few pairs never agree exactly.
        brier: mean squared difference of probability and label (Brier 1950).
        log_loss: mean of -log(the probability of what was observed), natural logarithm.
        bins: of `ece`, by probability.
    """

    ece: float
    ece_by_chance: float
    brier: float
    log_loss: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest probability that reaches a precision.

    Attributes:
        wanted: the precision that was asked for.
        probability: keep what has at least this.
        precision: the share of relevant pairs among what is kept.
        low: the lower end of its 95 % interval (Wilson 1927).
        recall: the share of all relevant pairs that is kept.
        kept: how many pairs.
    """

    wanted: float
    probability: float
    precision: float
    low: float
    recall: float
    kept: int


def reliability(probabilities: Probabilities, relevant: Relevant) -> Reliability:
    """Of float64 [n] and bool [n], n at least 1. Equal probabilities share a bin, so that order decides nothing."""
    count = max(1, min(BINS, len(relevant) // BIN_MIN))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, count + 1)[1:-1]))
    which = np.searchsorted(edges, probabilities, side="right")
    bins = [_bin(probabilities[which == b], relevant[which == b]) for b in np.unique(which)]
    clipped = np.clip(probabilities, LOG_MIN, 1 - LOG_MIN)
    return Reliability(
        ece=_mean_over(bins, lambda one: abs(one.observed - one.predicted)),
        # The mean of |x| of a normal variable is its deviation times sqrt(2 / pi).
        ece_by_chance=_mean_over(
            bins, lambda one: math.sqrt(2 / math.pi * one.predicted * (1 - one.predicted) / one.count)
        ),
        brier=float(np.mean((probabilities - relevant) ** 2)),
        log_loss=float(-np.mean(np.where(relevant, np.log(clipped), np.log1p(-clipped)))),
        bins=tuple(bins),
    )


def threshold_for(wanted: float, probabilities: Probabilities, relevant: Relevant) -> Threshold | None:
    """The lowest of the probabilities that keeps at least this precision; None where none does."""
    levels = np.unique(probabilities)
    kept = len(relevant) - np.searchsorted(np.sort(probabilities), levels)
    hits = relevant.sum() - np.searchsorted(np.sort(probabilities[relevant]), levels)
    reached = np.flatnonzero(hits / kept >= wanted)
    if not len(reached):
        return None
    i = reached[0]
    low, _ = wilson(int(hits[i]), int(kept[i]))
    recall = float(hits[i] / relevant.sum())
    return Threshold(wanted, float(levels[i]), float(hits[i] / kept[i]), low, recall, int(kept[i]))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate, by Wilson's score (JASA 22, 1927): good for few trials and rates near 0 and 1."""
    rate, z2 = successes / trials, Z * Z / trials
    middle = (rate + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials))
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))  # rounding aside, rate is within


def _bin(probabilities: Probabilities, relevant: Relevant) -> Bin:
    count, hits = len(relevant), int(relevant.sum())
    return Bin(count, float(probabilities.mean()), hits / count, *wilson(hits, count))


def _mean_over(bins: list[Bin], value: Callable[[Bin], float]) -> float:
    return sum(one.count * value(one) for one in bins) / sum(one.count for one in bins)
