"""The compiled engine refuses what it cannot compute, and says why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrank import Reranker, _native
from crossrank.backends.native import _config
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import load_weights
from crossrank.errors import UsageError
from engines import ENGINES, FAMILIES

INT = np.int32


LACKING = [
    (isa, precision)
    for isa in _native.isas()
    for precision in ("bf16", "int8")
    if precision not in _native.precisions(isa)
]


@pytest.fixture(params=ENGINES, ids="-".join)
def encoder(request: pytest.FixtureRequest, checkpoint: Callable[..., Path]) -> _native.Encoder:
    folder = checkpoint("bert")
    profile = read_profile(folder, "tiny")
    isa, precision = request.param
    return _native.Encoder(_config(profile), load_weights(folder, profile), isa=isa, precision=precision)


def run(encoder: _native.Encoder, ids: list[int], offsets: list[int], threads: int = 1) -> np.ndarray:
    return encoder.run(np.array(ids, INT), np.zeros(len(ids), INT), np.array(offsets, INT), threads)


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([1, 2], [0, 3], "offsets ends at 3"),
        ([1, 2], [1, 2], "offsets starts at 1"),
        ([1, 2], [0, 0, 2], "sequence 0 has 0 tokens"),
        ([1, 2], [0, 2, 1, 2], "sequence 1 has -1 tokens"),
        ([1, -1], [0, 2], r"ids\[1\] is -1"),
        ([1, 10**6], [0, 2], r"ids\[1\] is 1000000"),
        ([1] * 65, [0, 65], "65 tokens, the model takes 64"),
        ([], [], "offsets is empty"),
    ],
)
def test_wrong_batches(ids: list[int], offsets: list[int], message: str, encoder: _native.Encoder) -> None:
    """Every index is checked before anything is read."""
    with pytest.raises(ValueError, match=message):
        run(encoder, ids, offsets)


def test_wrong_arrays(encoder: _native.Encoder) -> None:
    """Other dtypes, shapes, strides and thread counts are refused."""
    ids, offsets = np.ones(4, INT), np.array([0, 4], INT)
    for wrong in (ids.astype(np.int64), ids.reshape(2, 2), np.ones(8, INT)[::2], "ids", None):
        with pytest.raises((ValueError, TypeError)):
            encoder.run(wrong, ids, offsets, 1)
    with pytest.raises(ValueError, match="type_ids"):
        encoder.run(ids, ids + 5, offsets, 1)
    with pytest.raises(ValueError, match="threads is 0"):
        encoder.run(ids, ids * 0, offsets, 0)


def test_no_rows_give_no_logits(encoder: _native.Encoder) -> None:
    """An empty batch is a batch."""
    assert run(encoder, [], [0]).shape == (0, 1)


def test_random_shapes_never_crash(encoder: _native.Encoder) -> None:
    """Arbitrary arrays give logits or a ValueError, nothing else."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        lengths = rng.integers(1, 64, int(rng.integers(0, 7)))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(INT)
        ids = rng.integers(0, 150, offsets[-1]).astype(INT)
        broken = rng.random() < 0.5
        if broken:  # one index somewhere is not what it should be
            array = ids if len(ids) and rng.random() < 0.5 else offsets
            array[rng.integers(len(array))] += rng.choice([-1000, 1000, 2**30])
        try:
            logits = encoder.run(ids, np.zeros(len(ids), INT), offsets, int(rng.integers(1, 4)))
        except ValueError:
            assert broken
            continue
        assert not broken
        assert logits.shape == (len(lengths), 1)
        assert np.isfinite(logits).all()


def test_weights_are_checked_by_name_and_shape(checkpoint: Callable[..., Path]) -> None:
    """Missing, unknown and wrongly shaped tensors and settings are named."""
    folder = checkpoint("bert")
    profile = read_profile(folder, "tiny")
    weights, config = load_weights(folder, profile), _config(profile)
    name = "layers.1.ffn.up.weight"
    for broken, message in (
        ({k: v for k, v in weights.items() if k != name}, name),
        ({**weights, "surplus": weights[name]}, "surplus"),
        ({**weights, name: weights[name][:-1]}, name),
        ({**weights, name: weights[name].astype(np.float64)}, name),
    ):
        with pytest.raises(ValueError, match=message):
            _native.Encoder(config, broken)
    for broken, message in (({**config, "heads": 5}, "heads"), ({**config, "activation": "silu"}, "activation")):
        with pytest.raises(ValueError, match=message):
            _native.Encoder(broken, weights)


def test_the_instruction_set_can_be_forced(checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """CROSSRANK_ISA chooses the kernels; a name that this processor cannot run is refused with those it can."""
    folder = str(checkpoint("bert"))
    for isa in _native.isas():
        monkeypatch.setenv("CROSSRANK_ISA", isa)
        with Reranker(folder) as reranker:
            assert f"native/{isa}" in repr(reranker)
    monkeypatch.setenv("CROSSRANK_ISA", "altivec")
    with pytest.raises(UsageError, match=f"CROSSRANK_ISA='altivec'.*{_native.isas()[0]}"):
        Reranker(folder)


@pytest.mark.parametrize(("isa", "precision"), ENGINES)
def test_the_precision_can_be_chosen(
    isa: str, precision: str, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """precision= chooses what is computed in, and the facts say so; fp32 is always there."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    assert "fp32" in _native.precisions(isa)
    with Reranker(str(checkpoint("bert")), precision=precision) as reranker:
        assert f", {precision}, " in repr(reranker)


@pytest.mark.parametrize(("isa", "precision"), LACKING)
def test_a_precision_that_the_processor_lacks(isa: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the caller's mistake; the message names the instruction set and what it has."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    has = ", ".join(_native.precisions(isa))
    with pytest.raises(UsageError, match=rf"precision='{precision}'.*\({isa}\) runs {has}\. Give"):
        Reranker(precision=precision)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("isa", "precision"), ENGINES)
def test_threads_that_share_a_row_change_no_bit(
    family: str, isa: str, precision: str, checkpoint: Callable[..., Path]
) -> None:
    """Few long rows are computed by all threads together, many rows by one thread each."""
    folder = checkpoint(family, max_length=420)
    profile = read_profile(folder, "tiny")
    config, weights = _config(profile), load_weights(folder, profile)
    long = _native.Encoder(config, weights, isa=isa, precision=precision)
    most = profile.positions - profile.position_offset
    random = np.random.default_rng(3)
    ids = random.integers(5, profile.vocabulary, 2 * most, INT)
    zeros, offsets = np.zeros(2 * most, INT), np.array([0, most, 2 * most - 7, 2 * most], INT)
    alone = long.run(ids, zeros, offsets, 1)
    for threads in (4, 7):
        assert np.array_equal(long.run(ids, zeros, offsets, threads), alone)
