"""From labelled pairs to a calibration, judged on pairs that it was not fitted on; scikit-learn is imported inside.

It knows logits, labels and curves; not files, terminals or plots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crossrank.calibration import Calibration, Isotonic, Origin, Platt
from crossrank.calibration.curves import Curve, sigmoid
from crossrank.errors import MissingExtra, UsageError
from crossrank.evaluate.labels import Labels, Relevant
from crossrank.evaluate.reliability import Probabilities, Reliability, Threshold, reliability, threshold_for

Method = Literal["platt", "isotonic"]

PAIRS_MIN, EACH_MIN = 20, 5  # pairs in all, and of each kind; of fewer nothing can be learnt
FOLDS = 5
ISOTONIC_FROM = 1_000  # pairs; with fewer it overfits: Niculescu-Mizil and Caruana, ICML 2005
METHODS = ("auto", "platt", "isotonic")
PRECISION = 0.9  # wanted, unless told otherwise

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration and how good it is.

    Attributes:
        calibration: fitted on all pairs; its evidence holds the figures below.
        method: that was taken.
        before: of sigmoid(logit).
        after: of the method, each pair by a curve that was fitted without it and, where there are enough queries,
            without the others of its query.
        threshold: for the wanted precision, on the same probabilities; None where none reaches it.
        pairs: how many there are.
        relevant: how many of them are relevant.
        queries: how many different ones.
        notes: what a reader should know about the figures.
    """

    calibration: Calibration
    method: Method
    before: Reliability
    after: Reliability
    threshold: Threshold | None
    pairs: int
    relevant: int
    queries: int
    notes: tuple[str, ...]


def calibrate(
    logits: Logits,
    labels: Labels,
    *,
    origin: Origin | None = None,
    method: str = "auto",
    relevant_from: float | None = None,
    precision: float = PRECISION,
    today: date | None = None,
) -> Calibrated:
    """Fit a calibration for logits of labelled pairs.

    Args:
        logits: float32 [n], of `labels.pairs`, in their order.
        labels: at least 20 pairs, at least 5 of them relevant and 5 not.
        origin: whose logits they are, `reranker.origin`.
        method: "platt", "isotonic", or "auto": the one with the lower log loss on held-out pairs; of fewer than 1,000
            pairs always Platt.
        relevant_from: the lowest grade that means relevant, where labels are not 0 and 1.
        precision: what a threshold is looked for.
        today: for the evidence.

    Raises:
        UsageError: there are too few pairs, or of one kind only; scores do not rise with relevance.
        MissingExtra: scikit-learn is not installed.
    """
    assert len(logits) == len(labels.pairs), "bug: one logit a pair"
    relevant = labels.relevant(relevant_from)
    _check(labels.name, relevant, method, precision)
    if not _platt(logits, relevant).slope:
        raise UsageError(
            f"{labels.name}: relevant pairs do not get higher scores than others, so no threshold would help. Check "
            "that 1 means relevant, and that the model is meant for such texts (crossrank eval)."
        )
    folds, notes = _folds(relevant, labels.queries)
    methods: list[Method] = ["platt", "isotonic"] if method == "auto" else [method]  # type: ignore[list-item] # checked
    if method == "auto" and len(relevant) < ISOTONIC_FROM:
        methods = ["platt"]
    held_out = {one: _held_out(one, logits, relevant, folds) for one in methods}
    measured = {one: reliability(probabilities, relevant) for one, probabilities in held_out.items()}
    best = min(methods, key=lambda one: measured[one].log_loss)
    before, after = reliability(sigmoid(logits), relevant), measured[best]
    if after.log_loss >= before.log_loss:
        notes = (
            *notes,
            "On held-out pairs it predicts no better than the sigmoid of the logit does; more labels may help.",
        )
    threshold = threshold_for(precision, held_out[best], relevant)
    counts = {
        "pairs": len(relevant),
        "relevant": int(relevant.sum()),
        "queries": int(labels.queries.max()) + 1,
    }
    evidence = {
        "date": (today or datetime.now(UTC).date()).isoformat(),
        "labels": {"name": labels.name, "relevant_from": relevant_from, **counts},
        "before": _figures(before),
        "held_out": {"folds": len(folds), **_figures(after)},
    }
    curve = _fit(best, logits, relevant)
    calibration = Calibration(curve, origin, evidence)
    return Calibrated(calibration, best, before, after, threshold, **counts, notes=(*labels.notes, *notes))


def _check(name: str, relevant: Relevant, method: str, precision: float) -> None:
    if method not in METHODS:
        raise UsageError(f"method={method!r} is not known; allowed: {', '.join(METHODS)}")
    if not 0 < precision <= 1:
        raise UsageError(f"precision={precision!r} is no share; give a number above 0 and at most 1, such as 0.9")
    pairs, yes = len(relevant), int(relevant.sum())
    if pairs < PAIRS_MIN:
        raise UsageError(f"{name} has {pairs} labelled pairs; a calibration needs {PAIRS_MIN}, better some hundred.")
    if yes in (0, pairs):
        raise UsageError(
            f"{name} holds one class only: all {pairs:,} pairs are {'relevant' if yes else 'not relevant'}. "
            "A calibration needs both; add documents of the other kind, or set --relevant-from."
        )
    if min(yes, pairs - yes) < EACH_MIN:
        raise UsageError(
            f"{name} has {yes:,} relevant and {pairs - yes:,} other pairs; a calibration needs {EACH_MIN} of each."
        )


def _folds(relevant: Relevant, queries: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """The pairs that are held out together: those of a query, where there are enough queries for it."""
    selection = library().model_selection
    if len(np.unique(queries)) >= FOLDS:
        splitter = selection.StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        folds = [test for _, test in splitter.split(relevant, relevant, queries)]
        if all(len(set(np.delete(relevant, test))) == 2 for test in folds):
            return folds, ()
    splitter = selection.StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    note = "There are too few queries to hold whole queries out, so that the figures may be too good for new ones."
    return [test for _, test in splitter.split(relevant, relevant)], (note,)


def _held_out(method: Method, logits: Logits, relevant: Relevant, folds: Sequence[NDArray[np.int64]]) -> Probabilities:
    """Each pair's probability by a curve that was fitted without its fold."""
    probabilities = np.empty(len(logits))
    for test in folds:
        curve = _fit(method, np.delete(logits, test), np.delete(relevant, test))
        probabilities[test] = curve.probability(logits[test])
    return probabilities


def _fit(method: Method, logits: Logits, relevant: Relevant) -> Curve:
    return _platt(logits, relevant) if method == "platt" else _isotonic(logits, relevant)


def _platt(logits: Logits, relevant: Relevant) -> Platt:
    """Logistic regression towards Platt's targets, a little away from 0 and 1, so that there always is a finite one."""
    yes, no = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (yes + 1) / (yes + 2), 1 / (no + 2))
    column = logits.astype(np.float64)[:, None]
    regression = library().linear_model.LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000)
    # A target between 0 and 1 is the same as the pair twice, once of each kind, weighted.
    regression.fit(
        np.concatenate([column, column]),
        np.repeat([1, 0], len(logits)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope, intercept = float(regression.coef_[0, 0]), float(regression.intercept_[0])
    return Platt(slope, intercept) if slope > 0 else Platt(0.0, float(np.log(yes / no)))  # no curve may fall


def _isotonic(logits: Logits, relevant: Relevant) -> Isotonic:
    """Isotonic regression; its ends are kept from 0 and 1 by Laplace's rule, because n pairs prove no certainty."""
    n = len(logits)
    regression = library().isotonic.IsotonicRegression(y_min=1 / (n + 2), y_max=(n + 1) / (n + 2))
    regression.fit(logits.astype(np.float64), relevant)
    knots, probabilities = regression.X_thresholds_, regression.y_thresholds_
    return Isotonic(tuple(map(float, knots)), tuple(map(float, np.maximum.accumulate(probabilities))))


def _figures(found: Reliability) -> dict[str, float]:
    return {"ece": found.ece, "brier": found.brier, "log_loss": found.log_loss}


def library() -> Any:
    """scikit-learn, which fits the curves; MissingExtra without it."""
    try:
        import sklearn.isotonic
        import sklearn.linear_model
        import sklearn.model_selection
    except ImportError as exc:
        raise MissingExtra("scikit-learn is not installed. Run: pip install 'crossrank[eval]'") from exc
    return sklearn
