"""A first stage's scores mixed with a ranker's. Pure arithmetic."""

import math
from collections.abc import Mapping, Sequence


def blended(first: Sequence[float | None], second: Mapping[int, float | None], share: float) -> dict[int, float]:
    """By place: share * first + (1 - share) * second, each put on 0 to 1 over what has a score; 0 for what has none.

    Args:
        first: the first stage's scores, by place.
        second: the ranker's, of the places that it ranked.
        share: of the first, 0 to 1.
    """
    one, other = _from_0_to_1(dict(enumerate(first))), _from_0_to_1(second)
    return {place: share * one[place] + (1 - share) * other[place] for place in second}


def _from_0_to_1(scores: Mapping[int, float | None]) -> dict[int, float]:
    known = [score for score in scores.values() if score is not None and math.isfinite(score)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    width = high - low
    return {
        place: 0.0 if score is None or not math.isfinite(score) else (score - low) / width if width else 1.0
        for place, score in scores.items()
    }
