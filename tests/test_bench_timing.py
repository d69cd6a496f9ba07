"""What repeated times come to."""

import random
import statistics

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossrank.bench.timing import interval, percentile, spread

SECONDS = st.lists(st.floats(min_value=1e-6, max_value=1e3), min_size=1, max_size=60)


@pytest.mark.property
@given(SECONDS, st.floats(min_value=0, max_value=1))
@example([1e-6] * 31 + [1e3] * 6, 5 / 6)
def test_percentiles_are_those_of_numpy(values: list[float], share: float) -> None:
    """But for the rounding of the place, which counts where a large value follows a small one."""
    rounding = 1e-12 * max(values)
    assert percentile(values, share) == pytest.approx(np.percentile(values, 100 * share), rel=1e-9, abs=rounding)


@pytest.mark.property
@given(SECONDS)
def test_an_interval_holds_the_median_and_exists_from_six_values_on(values: list[float]) -> None:
    bounds = interval(values)
    assert (bounds is None) == (len(values) < 6)
    if bounds is not None:
        assert bounds[0] <= statistics.median(values) <= bounds[1]


@pytest.mark.parametrize("count", [6, 10, 25, 60])
def test_an_interval_covers_the_true_median_as_often_as_it_says(count: int) -> None:
    """Of 4,000 samples of a skewed distribution; three standard deviations below 95 % are 94 %."""
    choose = random.Random(count)
    covered = 0
    for _ in range(4_000):
        low, high = interval([choose.lognormvariate(0, 1) for _ in range(count)]) or (1.0, 0.0)
        covered += low <= 1 <= high
    assert covered / 4_000 >= 0.94


def test_equal_times_have_no_spread_and_few_have_none_that_is_known() -> None:
    assert spread([0.5] * 6) == 0
    assert spread([0.5] * 5) is None
