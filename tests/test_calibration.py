"""A calibration turns logits into probabilities, of the model that it was made for and no other."""

import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.calibration import Calibration, Isotonic, Platt, beside, file_of_name, read, write
from crossrank.calibration.curves import Curve
from crossrank.testing import tiny_checkpoint

QUERY, DOCUMENTS = "who created python", ["Guido created Python.", "A snake.", "Bread."]
LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)
PLATT = st.builds(Platt, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))


@st.composite
def isotonic(draw: st.DrawFn) -> Isotonic:
    """Any isotonic curve."""
    knots = sorted(draw(st.sets(st.floats(-1e3, 1e3), min_size=1, max_size=8)))
    shares = draw(st.lists(st.floats(0, 1), min_size=len(knots), max_size=len(knots)))
    return Isotonic(tuple(knots), tuple(sorted(shares)))


@pytest.mark.property
@given(curve=PLATT | isotonic(), logits=LOGITS)
def test_probabilities_never_fall(curve: Curve, logits: list[float]) -> None:
    """As the logit rises, and they are probabilities: a ranking by either is the same, up to ties."""
    found = Calibration(curve).probability(np.array(sorted(logits), np.float32))
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.property
@given(curve=PLATT | isotonic())
def test_json_holds_all_of_it(curve: Curve) -> None:
    """To the last bit."""
    calibration = Calibration(curve, None, {"date": "2026-11-21"})
    assert Calibration.of_json(json.loads(json.dumps(calibration.as_json()))) == calibration


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Platt(-1.0, 1.0), "slope not below 0"),
        (lambda: Platt(1.0, float("nan")), "finite"),
        (lambda: Isotonic((), ()), "at least one"),
        (lambda: Isotonic((1.0, 0.0), (0.1, 0.2)), "rise"),
        (lambda: Isotonic((0.0, 1.0), (0.2, 0.1)), "never fall"),
        (lambda: Isotonic((0.0,), (1.5,)), "0 to 1"),
    ],
)
def test_a_curve_that_is_none_is_refused(make: Callable[[], Curve], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_hits_have_probabilities() -> None:
    """In one call as in many; without a calibration they have none."""
    with Reranker(cache=None, calibration=Calibration(Platt(0.5, -1.0))) as reranker:
        ranking = reranker.rank(QUERY, DOCUMENTS)
        (again,) = reranker.rank_many([QUERY], [DOCUMENTS])
    for hit in ranking:
        assert hit.logit is not None
        assert hit.probability == pytest.approx(1 / (1 + np.exp(1.0 - 0.5 * hit.logit)), rel=1e-6)
    assert [hit.probability for hit in again] == [hit.probability for hit in ranking]
    with Reranker(cache=None) as reranker:
        assert reranker.calibration is None
        assert {hit.probability for hit in reranker.rank(QUERY, DOCUMENTS)} == {None}


def test_a_hit_that_came_too_late_has_no_probability() -> None:
    with Reranker(cache=None, calibration=Calibration(Platt(1.0, 0.0))) as reranker:
        late = reranker.rank(QUERY, DOCUMENTS, deadline_s=0.0, threshold=2.0, threshold_on="probability")
    assert [(hit.score, hit.probability) for hit in late] == [(None, None)] * 3


def test_a_threshold_is_on_the_score_unless_it_says_otherwise() -> None:
    """A file beside a model never changes what code that is there means."""
    with Reranker(cache=None, calibration=Calibration(Platt(1.0, -20.0))) as reranker:
        assert len(reranker.rank(QUERY, DOCUMENTS, threshold=0.5)) == 1
        assert len(reranker.rank(QUERY, DOCUMENTS, threshold=0.5, threshold_on="probability")) == 0
        lowest = reranker.rank(QUERY, DOCUMENTS)[1].probability
        assert len(reranker.rank(QUERY, DOCUMENTS, threshold=lowest, threshold_on="probability")) == 2
        with pytest.raises(ValueError, match="'score' or 'probability'"):
            reranker.rank(QUERY, DOCUMENTS, threshold_on="logit")  # type: ignore[arg-type]
    with Reranker(cache=None) as reranker, pytest.raises(ValueError, match="no calibration is in use"):
        reranker.rank(QUERY, DOCUMENTS, threshold=0.5, threshold_on="probability")


def test_one_beside_the_model_is_used_by_itself(tmp_path: Path) -> None:
    """And leaves the model's own identity as it was."""
    folder = tiny_checkpoint(tmp_path / "tiny")
    with Reranker(folder, precision="fp32") as reranker:
        calibration = Calibration(Platt(2.0, 1.0), reranker.origin)
        write(calibration, beside(folder))
        assert reranker.calibration is None
    with Reranker(folder, precision="fp32") as reranker:
        assert reranker.calibration == calibration
        assert reranker.rank("a", ["b"])[0].probability is not None
    with Reranker(folder, precision="fp32", calibration=None) as reranker:
        assert reranker.calibration is None


def test_one_that_nobody_asked_for_is_left_alone_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is for another precision, or is no calibration at all: the model opens as it did before."""
    folder = tiny_checkpoint(tmp_path / "tiny")
    with Reranker(folder, precision="fp32") as reranker:
        write(Calibration(Platt(2.0, 1.0), reranker.origin), beside(folder))
    with caplog.at_level(logging.WARNING, "crossrank"), Reranker(folder, precision="int8") as reranker:
        assert reranker.calibration is None
    assert "made with precision='fp32', not 'int8'" in caplog.text
    beside(folder).write_text("{}")
    with caplog.at_level(logging.WARNING, "crossrank"), Reranker(folder, precision="fp32") as reranker:
        assert reranker.calibration is None
    assert "is no calibration of crossrank's" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, r"made with precision='fp32', not 'int8'.*crossrank calibrate"),
        ({"long_documents": "truncate"}, "made with long_documents='chunk', not 'truncate'"),
        ({"max_length": 32}, "made with max_length=64, not 32"),
    ],
)
def test_one_for_other_logits_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    with Reranker(folder, precision="fp32") as reranker:
        write(Calibration(Platt(2.0, 1.0), reranker.origin), tmp_path / "c.json")
    with pytest.raises(ValueError, match=message):
        Reranker(folder, **{"precision": "fp32", "calibration": tmp_path / "c.json", **options})


def test_one_of_another_model_is_refused(tmp_path: Path) -> None:
    """Wherever the models lie: a folder that was moved is the same model."""
    folder = tiny_checkpoint(tmp_path / "tiny")
    with Reranker(folder, precision="fp32") as reranker:
        calibration = Calibration(Platt(2.0, 1.0), reranker.origin)
    moved = folder.rename(tmp_path / "moved")
    Reranker(moved, precision="fp32", calibration=calibration).close()
    with pytest.raises(ValueError, match=r"made for another model, .*tiny"):
        Reranker(tiny_checkpoint(tmp_path / "other", seed=1), precision="fp32", calibration=calibration)


def test_names_are_files_of_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy by pickle has it without the file."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path))
    with Reranker(cache=None) as reranker:
        calibration = Calibration(Platt(1.0, 0.0), reranker.origin)
    file = file_of_name("tickets")
    assert file == tmp_path / "calibrations" / "tickets.json"
    write(calibration, file)
    with Reranker(cache=None, calibration="tickets") as reranker:
        assert reranker.calibration == calibration
        content = pickle.dumps(reranker)
    file.unlink()
    with pickle.loads(content) as reranker:
        assert reranker.calibration == calibration


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("nowhere", ValueError, r"no calibration named 'nowhere' \(there are: none\)"),
        ("../up", OSError, r"\.\./up: no such file"),
        ("a name", ValueError, "cannot be a calibration's name"),
        ("broken.json", OSError, "is no calibration of crossrank's"),
        ("later.json", OSError, "its version is 9, where 1 is understood"),
        (7, TypeError, "a name, a file or a Calibration, not int"),
    ],
)
def test_what_is_no_calibration_is_refused(
    given: object, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text('{"version": 1')
    Path("later.json").write_text('{"version": 9}')
    with pytest.raises(error, match=message):
        Reranker(cache=None, calibration=given)  # type: ignore[arg-type]


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    """What was there stays where the new one cannot be written."""
    file = tmp_path / "c.json"
    write(Calibration(Platt(1.0, 0.0)), file)
    with pytest.raises(ValueError, match="JSON"):
        write(Calibration(Platt(1.0, 0.0), None, {"date": float("nan")}), file)
    assert read(file) == Calibration(Platt(1.0, 0.0))
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        write(Calibration(Platt(1.0, 0.0)), folder)
    assert sorted(tmp_path.iterdir()) == [file, folder]


def test_applying_needs_no_scikit_learn() -> None:
    code = (
        "import sys; from crossrank import Reranker; from crossrank.calibration import Calibration, Platt;"
        "r = Reranker(calibration=Calibration(Platt(1.0, 0.0))); assert r.rank('a', ['b'])[0].probability;"
        "assert not {'sklearn', 'scipy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
