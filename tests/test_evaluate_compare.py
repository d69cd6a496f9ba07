"""Comparisons say what scipy says of the same numbers, and what is known of numbers made up for it."""

import numpy as np
import pytest
from scipy import stats

from crossrank.evaluate.compare import bootstrap_interval, compare, holm, randomisation_p


def paired(queries: int, difference: float, seed: int) -> tuple[list[float], list[float]]:
    """Values of a ranker and of a baseline, alike but for noise and a difference."""
    rng = np.random.default_rng(seed)
    baseline = rng.uniform(0, 1, queries)
    return list(baseline + difference + rng.normal(0, 0.15, queries)), list(baseline)


@pytest.mark.parametrize(("queries", "difference"), [(5, 0.1), (8, 0.0), (10, 0.05), (12, -0.1), (14, 0.1)])
def test_few_queries_are_tested_exactly_as_scipy_does(queries: int, difference: float) -> None:
    """All signs are tried: the p-value is that of scipy's exact paired permutation test."""
    ours, baseline = paired(queries, difference, seed=queries)
    exact = stats.permutation_test(
        (ours, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert compare(ours, baseline).p == pytest.approx(exact.pvalue, abs=1e-12)


def test_a_known_p() -> None:
    """Of n differences that are all positive, only all signs and none reach the sum: p is 2 / 2^n."""
    assert randomisation_p([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 2**5
    assert randomisation_p([0.1] * 10) == 2 / 2**10


@pytest.mark.parametrize(("queries", "difference"), [(40, 0.05), (60, 0.0), (100, -0.03), (300, 0.01)])
def test_many_queries_agree_with_scipy(queries: int, difference: float) -> None:
    """Sampled signs give the p-value of scipy's permutation test, and nearly that of the t-test."""
    ours, baseline = paired(queries, difference, seed=queries)
    sampled = stats.permutation_test(
        (ours, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    p = compare(ours, baseline).p
    assert p == pytest.approx(sampled.pvalue, abs=0.015)
    assert p == pytest.approx(stats.ttest_rel(ours, baseline).pvalue, abs=0.025)


def test_rankers_that_do_not_differ_are_rarely_called_different() -> None:
    """Of 200 comparisons without a difference, about 5 % have p < 0.05."""
    rng = np.random.default_rng(3)
    false = sum(randomisation_p(rng.normal(0, 1, 30), permutations=1_000) < 0.05 for _ in range(200))
    assert 2 <= false <= 20


def test_equal_values_change_nothing() -> None:
    """Queries with the same value are ties, and do not change p; with nothing else, p is 1."""
    ours, baseline = paired(10, 0.1, seed=1)
    assert compare([*ours, *[0.5] * 1_000], [*baseline, *[0.5] * 1_000]).p == compare(ours, baseline).p
    same = compare([0.3, 0.7], [0.3, 0.7])
    assert (same.p, same.difference, same.wins, same.ties, same.losses) == (1.0, 0.0, 0, 2, 0)


def test_wins_ties_and_losses_are_counted() -> None:
    """A difference below the rounding of a mean is a tie."""
    found = compare([0.5, 0.2, 0.3 + 1e-12, 0.9], [0.1, 0.4, 0.3, 0.1])
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.difference == pytest.approx(0.25)


@pytest.mark.parametrize("queries", [10, 50, 200])
def test_the_interval_is_scipys_percentile_bootstrap(queries: int) -> None:
    """Both ends agree within what two draws of 10,000 differ by; the mean is within."""
    values = np.random.default_rng(queries).beta(2, 3, queries)
    ours = bootstrap_interval(values)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    tolerance = 0.05 * (theirs.high - theirs.low)
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)
    assert ours.low < values.mean() < ours.high


def test_the_interval_covers_the_truth() -> None:
    """Of 200 samples, about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(4)
    intervals = [bootstrap_interval(rng.normal(0.3, 0.1, 40), resamples=1_000, seed=i) for i in range(200)]
    assert 180 <= sum(one.low <= 0.3 <= one.high for one in intervals) <= 198


def test_equal_seeds_give_equal_results() -> None:
    """Another seed gives another draw, close by."""
    ours, baseline = paired(50, 0.03, seed=5)
    assert compare(ours, baseline, seed=1) == compare(ours, baseline, seed=1)
    assert compare(ours, baseline, seed=1) != compare(ours, baseline, seed=2)


def test_many_queries_fit_into_memory_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing in portions changes how much is held, not what comes out."""
    ours, baseline = paired(30, 0.05, seed=6)
    whole = compare(ours, baseline)
    monkeypatch.setattr("crossrank.evaluate.compare.CELLS_MAX", 30 * 1_000)
    portions = compare(ours, baseline)
    assert portions.p == pytest.approx(whole.p, abs=0.01)
    assert portions.interval.low == pytest.approx(whole.interval.low)


@pytest.mark.parametrize(
    ("ps", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm 1979: the smallest times 4, the next times 3 ...
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
    ],
)
def test_holms_correction(ps: list[float], corrected: list[float]) -> None:
    """Worked by hand: never below the p-value, never above 1, in the order of the p-values."""
    assert holm(ps) == pytest.approx(corrected)
