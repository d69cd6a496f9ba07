"""Paired comparison of two rankers' values for the same queries. It knows arrays of numbers, not rankers or measures.

Confidence intervals are percentile bootstrap intervals over queries (Efron and Tibshirani 1993). p-values are those of
the two-sided paired randomisation test (Fisher 1935), which Smucker, Allan and Carterette 2007 recommend for
comparisons of search results; several comparisons are corrected as Holm 1979 has it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95  # of confidence intervals
RESAMPLES = 10_000  # of the bootstrap
PERMUTATIONS = 20_000  # of the randomisation test; all of them, if there are no more
CELLS_MAX = 4_000_000  # numbers held at a time
TIE = 1e-9  # values closer than this are equal
ROUNDING = 1e-12  # a sum that is lower by less than this share is as large

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """The 95 % confidence interval of a mean."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes from a baseline to a ranker, over the same queries.

    Attributes:
        difference: mean of the ranker less mean of the baseline.
        interval: of the difference.
        p: of the randomisation test, two-sided, for this comparison alone.
        p_corrected: the same after Holm's correction for all comparisons made beside it.
        wins: queries with a higher value than the baseline's.
        ties: queries with the same value.
        losses: queries with a lower value.
    """

    difference: float
    interval: Interval
    p: float
    p_corrected: float
    wins: int
    ties: int
    losses: int


def compare(values: Sequence[float], baseline: Sequence[float], *, seed: int = 0) -> Comparison:
    """Values of a ranker against those of a baseline, query by query; not yet corrected for other comparisons."""
    differences = _checked(values) - _checked(baseline)
    p = randomisation_p(differences, seed=seed)
    wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
    interval = bootstrap_interval(differences, seed=seed)
    return Comparison(float(differences.mean()), interval, p, p, wins, len(differences) - wins - losses, losses)


def bootstrap_interval(values: Sequence[float] | Values, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The percentile interval of the mean: queries drawn with replacement, `resamples` times."""
    checked = _checked(values)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            checked[rng.integers(0, len(checked), size=(rows, len(checked)))].mean(axis=1)
            for rows in _portions(resamples, len(checked))
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def randomisation_p(differences: Sequence[float] | Values, *, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """How often a mean difference at least as large comes about when the sign of each query's difference is a toss.

    Exact where all signs can be tried; else (count + 1) / (permutations + 1), which is never 0.
    """
    checked = _checked(differences)
    moved = checked[np.abs(checked) > TIE]  # equal values stay equal whatever their sign
    if 2 ** len(moved) <= permutations:
        tosses = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float(_as_large(tosses, moved).mean())
    rng = np.random.default_rng(seed)
    count = sum(
        int(_as_large(rng.integers(0, 2, size=(rows, len(moved)), dtype=np.int8), moved).sum())
        for rows in _portions(permutations, len(moved))
    )
    return (count + 1) / (permutations + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in the order given: no stricter than Bonferroni, as safe."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    corrected, highest = [0.0] * len(ps), 0.0
    for done, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - done) * ps[place]))
        corrected[place] = highest
    return corrected


def _as_large(tosses: NDArray[np.integer], moved: Values) -> NDArray[np.bool_]:
    """Of tosses [rows, queries] of 0 or 1: whether the sum with these signs is as far from 0 as the real one."""
    sums = 2 * (tosses.astype(np.float64) @ moved) - moved.sum()
    limit = abs(moved.sum()) - ROUNDING * np.abs(moved).sum()
    largest: NDArray[np.bool_] = np.abs(sums) >= limit
    return largest


def _portions(total: int, width: int) -> Iterator[int]:
    """Row counts that add up to `total`, each with at most CELLS_MAX numbers."""
    rows = max(1, CELLS_MAX // width)
    yield from (min(rows, total - start) for start in range(0, total, rows))


def _checked(values: Sequence[float] | Values) -> Values:
    checked = np.asarray(values, np.float64)
    assert checked.ndim == 1, "bug: values of one ranker are a list"
    assert len(checked), "bug: there is no query to compare"
    return checked
