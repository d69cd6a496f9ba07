"""What "auto" is: the fastest precision that agrees with fp32, if that was measured on this machine."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.backends.native import precisions, used_isa
from crossrank.collection import Collection
from crossrank.engine import precision
from crossrank.engine.precision import GATES, Measured, Verdict, by_exactness, keep, kept
from crossrank.evaluate import measure as measures
from crossrank.evaluate.candidates import candidates_of, from_run
from crossrank.evaluate.precision import Probe, kendall_tau, measure, ndcg, probes_of, shipped_probes
from crossrank.machine import cache_folder

HERE = used_isa()
EXACT = Measured("fp32", 100.0, 0.0, 1.0, 0.8, 0.0)
BF16 = Measured("bf16", 300.0, 0.03, 0.996, 0.8, 0.0)
INT8 = Measured("int8", 400.0, 0.2, 0.981, 0.798, -0.002)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; where it is set, nothing else of this machine counts."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def verdict(*measured: Measured) -> Verdict:
    return Verdict((EXACT, *measured), "a set", "a processor")


@pytest.mark.parametrize(
    ("measured", "fastest"),
    [
        ((), "fp32"),
        ((BF16,), "bf16"),
        ((BF16, INT8), "int8"),
        ((INT8,), "int8"),
        ((BF16, replace(INT8, pairs_per_s=301.0)), "bf16"),
        ((BF16, replace(INT8, tau=0.9799)), "bf16"),
        ((BF16, replace(INT8, ndcg_difference=0.0031)), "bf16"),
        ((replace(BF16, tau=0.9949), INT8), "int8"),
        ((replace(BF16, tau=math.nan), replace(INT8, ndcg_difference=math.nan)), "fp32"),
        ((replace(BF16, pairs_per_s=90.0),), "fp32"),
        ((replace(BF16, precision="fp4"),), "fp32"),
    ],
)
def test_the_fastest_that_agrees(measured: tuple[Measured, ...], fastest: str) -> None:
    """Through the gate first, then by speed; a less exact one only if it is notably faster; NaN passes no gate."""
    assert verdict(*measured).fastest == fastest


def test_the_gates_say_what_keeps_one_out() -> None:
    """The failures name the limit; fp32 has none."""
    assert replace(INT8, tau=0.5, ndcg_difference=0.1).failures == [
        f"tau is below {GATES['int8'].tau_min}",
        f"nDCG@10 differs by more than {GATES['int8'].ndcg_difference_max}",
    ]
    assert replace(EXACT, tau=0.0).failures == []
    assert by_exactness(["int8", "fp4", "bf16", "fp32"]) == ["fp32", "bf16", "int8", "fp4"]


def test_a_verdict_is_kept_by_model_instruction_set_and_version(
    cache: Path, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back as it was, for the same model, instruction set, precisions and version only."""
    folder, other, has = checkpoint("bert"), checkpoint("bert", seed=1), ["int8", "bf16", "fp32"]
    assert kept(folder, "amx", has) is None
    file = keep(verdict(BF16, INT8), folder, "amx")
    assert file.is_relative_to(cache)
    assert list(file.parent.iterdir()) == [file]
    assert kept(folder, "amx", has) == verdict(BF16, INT8)
    assert kept(other, "amx", has) is kept(folder, "avx512", has) is kept(folder, "amx", ["fp32", "bf16"]) is None
    keep(verdict(BF16, replace(INT8, tau=0.9)), folder, "amx")
    assert kept(folder, "amx", has) == verdict(BF16, replace(INT8, tau=0.9))
    monkeypatch.setattr(precision, "__version__", "99.0")
    assert kept(folder, "amx", has) is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"version": 2}', '{"version": 1, "measured": [{}]}', "\0"]
)
def test_a_damaged_verdict_is_none(content: str, cache: Path, checkpoint: Callable[..., Path]) -> None:
    """Whatever lies in the file, a model opens."""
    keep(verdict(), checkpoint("bert"), "amx").write_text(content)
    assert kept(checkpoint("bert"), "amx", ["fp32"]) is None


@pytest.mark.parametrize("chosen", precisions())
def test_auto_follows_the_verdict(chosen: str, cache: Path, checkpoint: Callable[..., Path]) -> None:
    """Every precision of this machine can be what auto is; a precision that is asked for by name stays what it is."""
    folder, names = checkpoint("bert"), by_exactness(precisions())
    keep(
        Verdict(tuple(replace(EXACT, precision=n, pairs_per_s=1 + (n == chosen)) for n in names), "", ""), folder, HERE
    )
    with Reranker(str(folder)) as auto, Reranker(str(folder), precision="fp32") as exact:
        assert f"{chosen}, " in repr(auto)
        assert "fp32, " in repr(exact)


def test_auto_without_a_verdict(cache: Path, checkpoint: Callable[..., Path]) -> None:
    """bf16 where the processor has it, else fp32; never int8. Opening is no measurement."""
    with Reranker(str(checkpoint("bert"))) as reranker:
        assert ("bf16, " if "bf16" in precisions() else "fp32, ") in repr(reranker)
    assert not (cache / "precision").exists()


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CROSSRANK_CACHE, else the user's caches; without a home there is none, and models open all the same."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("CROSSRANK_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "crossrank"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "crossrank"
    monkeypatch.setenv("CROSSRANK_CACHE", "~no-such-user/cache")
    assert cache_folder() is None
    assert kept(tmp_path, "amx", ["fp32"]) is None
    with pytest.raises(OSError, match="no home"):
        keep(verdict(), tmp_path, "amx")


def test_the_shipped_probes() -> None:
    """Ten questions with sixteen different passages each, of all three grades; a good model ranks them well."""
    probes = shipped_probes()
    assert len({text for probe in probes for text in probe.texts}) == 160
    assert [(len(probe.texts), set(probe.grades)) for probe in probes] == [(16, {0, 1, 2})] * 10
    for probe in probes:
        assert sorted((grade for grade in probe.grades if grade), reverse=True) == list(probe.ideal)
    with Reranker(precision="fp32", cache=None) as reranker:
        assert np.mean([ndcg(probe, reranker.score(probe.pairs, raw=True)) for probe in probes]) > 0.8


@pytest.mark.property
@given(
    grades=st.lists(st.integers(-1, 3), min_size=1, max_size=14),
    missing=st.lists(st.integers(1, 3), max_size=2),
    data=st.data(),
)
def test_ndcg_is_that_of_ir_measures(grades: list[int], missing: list[int], data: st.DataObject) -> None:
    """To the last digits, with relevant documents that are no candidates, and grades below 0."""
    logits = np.array(data.draw(st.permutations(range(len(grades)))), np.float32)
    judged = {f"d{i}": grade for i, grade in enumerate([*grades, *missing])}
    run = sorted(((f"d{i}", float(logit)) for i, logit in enumerate(logits)), key=lambda item: -item[1])
    ideal = tuple(sorted((grade for grade in judged.values() if grade > 0), reverse=True))
    probe = Probe("q", ("",) * len(grades), tuple(grades), ideal)
    expected = measures.per_query(measures.parse_measures(["nDCG@10"]), {"q": judged}, {"q": run}, ["q"])
    assert ndcg(probe, logits) == pytest.approx(expected["nDCG@10"]["q"])


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_tau_is_that_of_scipy(points: list[tuple[int, int]]) -> None:
    """Kendall's tau-b; where scipy has none, 1 if neither ranking tells documents apart, else 0."""
    from scipy.stats import kendalltau

    left, right = np.array(points, np.float32).T
    expected = kendalltau(left, right).statistic if len(points) > 1 else math.nan
    if math.isnan(expected):
        expected = float(len(set(left)) == len(set(right)) == 1)
    assert kendall_tau(left, right) == pytest.approx(expected, abs=1e-12)


class Canned:
    """Logits of texts that are numbers; every call takes some seconds of a clock."""

    def __init__(self, now: list[float], seconds: float, change: float = 0.0) -> None:
        self.now, self.seconds, self.change = now, seconds, change

    def score(self, pairs: list[tuple[str, str]], *, raw: bool = False) -> np.ndarray:
        self.now[0] += self.seconds
        logits = np.array([float(text) for _, text in pairs], np.float32)
        return np.where(logits == 3, logits + self.change, logits).astype(np.float32)


def test_measuring() -> None:
    """Speed is that of the median call, agreement is to fp32, the most exact comes first."""
    now = [0.0]
    probes = [Probe("q", ("1", "2", "3", "4"), (0, 0, 1, 0), (1,)), Probe("r", ("9", "8"), (1, 0), (1,))]
    models = {"int8": Canned(now, 0.5, 2.0), "fp32": Canned(now, 2.0)}
    exact, int8 = measure(models, probes, clock=lambda: now[0])
    assert exact == Measured("fp32", 12 / 2.0, 0.0, 1.0, exact.ndcg, 0.0)
    assert (int8.precision, int8.pairs_per_s, int8.logit_difference_max) == ("int8", 12 / 0.5, 2.0)
    assert int8.tau == pytest.approx((4 / 6 + 1) / 2)
    assert int8.ndcg == 1.0
    assert int8.ndcg_difference == pytest.approx((1 - 1 / np.log2(3)) / 2)


def test_probes_of_a_set() -> None:
    """Candidates with their grades, what is not judged as 0; a relevant document that is no candidate is missed."""
    corpus = {name: f"text {name}" for name in "abc"}
    collection = Collection("set", {"1": "one", "2": "two"}, corpus, {"1": {"b": 2, "c": 1}, "2": {"a": 1}})
    stage = from_run({"1": [("a", 2.0), ("b", 1.0)], "2": [("a", 1.0)]})
    probes = probes_of(collection, candidates_of(stage, collection))
    assert probes == [Probe("one", ("text a", "text b"), (0, 2), (2, 1)), Probe("two", ("text a",), (1,), (1,))]
    assert probes_of(collection, candidates_of(stage, collection), 1) == probes[:1]
    assert json.dumps(probes[0].pairs) == '[["one", "text a"], ["one", "text b"]]'
