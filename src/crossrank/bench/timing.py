"""What repeated times come to: median, 95th percentile, and how well the median is known. Pure."""

import statistics
from collections.abc import Sequence
from math import comb

CONFIDENCE = 0.95


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies, linear between neighbours (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Bounds of the median with 95 % confidence, whatever the distribution; None for fewer than six values.

    Order statistics: the k smallest and the k largest of n values are left out, for the largest k with
    2 P(Binomial(n, 1/2) <= k) <= 5 % (Conover, Practical Nonparametric Statistics, 3.2).
    """
    count, ordered = len(values), sorted(values)
    tail, left_out = 0.0, -1
    while (tail := tail + comb(count, left_out + 1) / 2**count) <= (1 - CONFIDENCE) / 2:
        left_out += 1
    return None if left_out < 0 else (ordered[left_out], ordered[-1 - left_out])


def spread(values: Sequence[float]) -> float | None:
    """Half the width of the median's interval, as a share of the median; None while there is no interval."""
    if (bounds := interval(values)) is None:
        return None
    low, high = bounds
    return (high - low) / 2 / statistics.median(values)
