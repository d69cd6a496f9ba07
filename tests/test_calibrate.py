"""Fitting a calibration: figures are right, of held-out pairs, and labels that teach nothing are refused."""

import gzip
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossrank.calibration import Isotonic, Platt
from crossrank.calibration.curves import sigmoid
from crossrank.evaluate.calibrate import calibrate
from crossrank.evaluate.labels import Labels, read_labels
from crossrank.evaluate.reliability import reliability, threshold_for, wilson

pytest.importorskip("sklearn")

JUDGED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def made(
    n: int, slope: float, intercept: float, queries: int = 50, seed: int = 0
) -> tuple[Labels, NDArray[np.float32]]:
    """Labels that follow sigmoid(slope * logit + intercept), and the logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, n).astype(np.float32)
    relevant = rng.random(n) < sigmoid(slope * logits + intercept)
    return Labels("made", [(f"q{i % queries}", f"d{i}") for i in range(n)], relevant.astype(np.float64)), logits


def arrays(judged: list[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([p for p, _ in judged]), np.array([r for _, r in judged])


def test_platt_finds_the_curve_that_made_the_labels() -> None:
    labels, logits = made(20_000, 0.5, -1.0)
    found = calibrate(logits, labels, method="platt")
    curve = found.calibration.curve
    assert isinstance(curve, Platt)
    assert curve.slope == pytest.approx(0.5, abs=0.02)
    assert curve.intercept == pytest.approx(-1.0, abs=0.05)
    assert found.after.ece < 0.02 < 0.15 < found.before.ece
    assert found.after.log_loss < found.before.log_loss
    assert found.after.ece_by_chance == pytest.approx(0.009, abs=0.003)


def test_auto_takes_what_predicts_held_out_pairs_better() -> None:
    """Isotonic where no sigmoid fits; of few pairs always Platt."""
    labels, logits = made(4_000, 0.5, -1.0)
    assert calibrate(logits, labels).method == "platt"
    steps = np.where(logits > 3, 6.0, np.where(logits > -3, 0.0, -6.0)) + logits / 1e3
    odd = Labels("steps", labels.pairs, (np.random.default_rng(1).random(4_000) < sigmoid(steps)).astype(float))
    found = calibrate(logits, odd)
    assert found.method == "isotonic"
    curve = found.calibration.curve
    assert isinstance(curve, Isotonic)
    assert min(curve.probabilities) > 0
    assert max(curve.probabilities) < 1
    few = slice(0, 900)
    assert calibrate(logits[few], Labels("few", odd.pairs[few], odd.grades[few])).method == "platt"


def test_figures_are_of_pairs_that_were_held_out() -> None:
    """Labels by chance cannot be learnt by heart: isotonic fits them, and held-out pairs tell."""
    labels, logits = made(1_000, 0.05, 0.0)
    found = calibrate(logits, labels, method="isotonic")
    fitted = reliability(found.calibration.probability(logits), labels.relevant())
    assert fitted.log_loss < math.log(2) < found.after.log_loss


def test_evidence_says_what_it_was_fitted_on() -> None:
    labels, logits = made(400, 1.0, 0.0, queries=40)
    evidence = calibrate(logits, labels).calibration.evidence
    assert evidence["labels"]["pairs"] == 400
    assert evidence["labels"]["queries"] == 40
    assert set(evidence["before"]) == {"ece", "brier", "log_loss"}
    assert evidence["held_out"]["folds"] == 5


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.isotonic", None)
    labels, logits = made(200, 1.0, 0.0)
    with pytest.raises(ImportError, match=r"pip install 'crossrank\[eval\]'"):
        calibrate(logits, labels)


def test_a_calibration_that_does_not_help_says_so() -> None:
    """Where the sigmoid of the logit is right already."""
    labels, logits = made(200, 1.0, 0.0)
    found = calibrate(logits, labels)
    assert found.after.log_loss >= found.before.log_loss
    assert "no better than the sigmoid" in found.notes[0]


def test_of_few_queries_a_note_is_made() -> None:
    labels, logits = made(200, 1.0, 0.0, queries=2)
    assert "too few queries" in calibrate(logits, labels).notes[0]


@pytest.mark.parametrize(
    ("grades", "message"),
    [
        ([1.0] * 40, "one class only: all 40 pairs are relevant"),
        ([0.0] * 40, "one class only: all 40 pairs are not relevant"),
        ([0.0, 1.0] * 5, "has 10 labelled pairs; a calibration needs 20"),
        ([1.0] * 3 + [0.0] * 40, "3 relevant and 40 other pairs"),
        ([0.0, 1.0, 2.0, 3.0] * 10, r"grades, up to 3.*--relevant-from 2"),
        ([0.0, 0.5] * 20, "grades, up to 0.5"),
    ],
)
def test_labels_that_teach_nothing_are_refused(grades: list[float], message: str) -> None:
    labels = Labels("bad", [(f"q{i}", "d") for i in range(len(grades))], np.array(grades))
    with pytest.raises(ValueError, match=message):
        calibrate(np.arange(len(grades), dtype=np.float32), labels)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_scores_that_fall_with_relevance_are_refused(method: str) -> None:
    labels, logits = made(400, 1.0, 0.0)
    with pytest.raises(ValueError, match="do not get higher scores"):
        calibrate(-logits, labels, method=method)


def test_grades_become_relevant_from_one_on() -> None:
    labels = Labels("graded", [("q", "d")] * 4, np.array([-1.0, 1.0, 2.0, 3.0]))
    assert labels.relevant(2).tolist() == [False, False, True, True]
    assert Labels("judged", [("q", "d")] * 3, np.array([-1.0, 0.0, 1.0])).relevant().tolist() == [False, False, True]


def test_wilson_is_what_the_tables_say() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_figures_of_a_hand_made_case() -> None:
    probabilities, relevant = np.array([0.2] * 10 + [0.9] * 10), np.array([True] * 4 + [False] * 6 + [True] * 10)
    found = reliability(probabilities, relevant)
    assert found.ece == pytest.approx((0.2 + 0.1) / 2)
    assert found.brier == pytest.approx((4 * 0.64 + 6 * 0.04 + 10 * 0.01) / 20)
    assert found.log_loss == pytest.approx(-(4 * math.log(0.2) + 6 * math.log(0.8) + 10 * math.log(0.9)) / 20)


@pytest.mark.property
@given(judged=JUDGED, order=st.randoms())
def test_figures_do_not_depend_on_the_order(judged: list[tuple[float, bool]], order: object) -> None:
    """Not even where probabilities are equal; every pair is in one bin, and errors are within 0 and 1."""
    shuffled = list(judged)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = reliability(*arrays(judged)), reliability(*arrays(shuffled))
    assert one.ece == pytest.approx(other.ece)
    assert [b.count for b in one.bins] == [b.count for b in other.bins]
    assert sum(b.count for b in one.bins) == len(judged)
    assert 0 <= one.ece <= 1
    assert all(b.low <= b.observed <= b.high for b in one.bins)


@pytest.mark.property
@given(judged=JUDGED, wanted=st.floats(0.01, 1))
@example(judged=[(0.5, True)] * 13 + [(0.5, False)] * 11, wanted=0.56)  # 14 of 25: 0.56 * 25 is above 14 by rounding
def test_the_threshold_is_the_lowest_that_keeps_the_precision(judged: list[tuple[float, bool]], wanted: float) -> None:
    """Compared with trying each."""
    probabilities, relevant = arrays([*judged, (0.5, True)])
    reached = [p for p in sorted(set(probabilities)) if relevant[probabilities >= p].mean() >= wanted]
    found = threshold_for(wanted, probabilities, relevant)
    assert (found.probability if found else None) == (reached[0] if reached else None)
    if found:
        kept = probabilities >= found.probability
        assert found.kept == kept.sum()
        assert found.precision == pytest.approx(relevant[kept].mean())
        assert found.recall == pytest.approx(relevant[kept].sum() / relevant.sum())
        assert found.low <= found.precision


LINES = '{"query": "q", "document": "d", "label": 1}\n\n{"query": "q", "text": {"text": "e"}, "label": false}\n'


def test_labels_are_read_from_every_format(tmp_path: Path) -> None:
    """The same from JSON lines, CSV (of a spreadsheet too), TSV, and gzipped."""
    (tmp_path / "a.jsonl").write_text(LINES)
    (tmp_path / "a.csv").write_text('query,document,label\nq,d,1\n"q","e",FALSE\n')
    (tmp_path / "a.tsv").write_text("label\tquery\ttext\n1.0\tq\td\n0\tq\te\n")
    (tmp_path / "b.csv").write_bytes(b'\xef\xbb\xbfquery;document;label\r\nq;d;1\r\n"q";e;0\r\n')
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(LINES)
    for name in ("a.jsonl", "a.csv", "b.csv", "a.tsv", "a.jsonl.gz"):
        labels = read_labels(tmp_path / name)
        assert (list(labels.pairs), labels.grades.tolist()) == ([("q", "d"), ("q", "e")], [1.0, 0.0]), name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            LINES + '{"query": "q", "text": "d", "label": NaN}',
            "line 4: the label is nan, which says nothing",
        ),
        ("a.jsonl", '{"query": "q", "text": "d"}', "line 1: no label"),
        ("a.jsonl", '{"query": "q", "text": "d", "label": "good"}', "line 1: the label is 'good'"),
        ("a.jsonl", '{"query": "q", "label": 1}', "line 1: no document"),
        ("a.jsonl", '{"text": "q", "label": 1}', "line 1: no query"),
        ("a.jsonl", '{"query": "q", "text": 7, "label": 1}', "line 1: the document is int"),
        ("a.jsonl", "[1]", "line 1: not an object"),
        ("a.jsonl", "{", "line 1: broken JSON"),
        ("a.jsonl", "\n", "holds no labelled pairs"),
        ("a.csv", "query,document,label\nq,d\n", "line 2: no label"),
        ("a.csv", 'query,document,label\nq,"d,1\n', "broken csv"),
        ("a.parquet", "", "does not tell the format"),
    ],
)
def test_broken_labels_name_their_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OSError, match=message):
        read_labels(tmp_path / name)
