"""What all rows of a batch begin with is computed once, and changes no score beyond rounding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.backends.contract import Batch, Row
from crossrank.backends.device import Place
from crossrank.backends.packing import beginning_apart, shared_beginning
from crossrank.backends.torch import TorchBackend
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import load_weights
from crossrank.nets.rows import Rows
from crossrank.nets.transformer import Transformer
from parity import TEXTS, TOLERANCE

CPU = torch.device("cpu")
CASES = [
    ("llama", {}),
    ("mistral", {"sliding_window": 7}),
    ("qwen2", {}),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 30, "max_window_layers": 1}),
    ("gemma", {"num_key_value_heads": 2}),
]
IDS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


def batch_of(rows: list[list[int]]) -> Batch:
    return Batch.of([Row(np.array(row, np.int32), np.zeros(len(row), np.int32)) for row in rows])


@pytest.mark.property
@given(begin=st.lists(st.integers(0, 2), max_size=6), rests=st.lists(IDS, min_size=1, max_size=6))
def test_the_beginning_is_the_longest_that_leaves_each_row_something(begin: list[int], rests: list[list[int]]) -> None:
    """Apart from it, and put together again, rows are what they were."""
    rows = [begin + rest for rest in rests]
    shared = shared_beginning(batch_of(rows))
    assert shared == 0 or len(rows) > 1
    if len(rows) > 1:
        assert shared >= min(len(begin), min(map(len, rows)) - 1)
        assert all(row[:shared] == rows[0][:shared] and len(row) > shared for row in rows)
        longer = {tuple(row[: shared + 1]) for row in rows}
        assert len(longer) > 1 or min(map(len, rows)) == shared + 1
    if shared:
        apart = beginning_apart(batch_of(rows), shared)
        first, *others = np.split(apart.ids, apart.offsets[1:-1])
        assert [[*first.tolist(), *other.tolist()] for other in others] == rows
        assert len(apart.segments) == len(apart.ids) == sum(map(len, rows)) - shared * (len(rows) - 1)


class Watched:
    """A net that counts the tokens it is given, and what of them was shared."""

    kernel = "padded"

    def __init__(self, net: Transformer) -> None:
        self.net = net
        self.passes: list[tuple[int, int]] = []

    def __call__(self, rows: Rows) -> torch.Tensor:
        self.passes.append((len(rows.ids), rows.shared))
        return self.net(rows)


@pytest.mark.parametrize(("family", "config"), CASES)
def test_logits_are_those_of_rows_alone(family: str, config: dict[str, Any], checkpoint: Callable[..., Path]) -> None:
    """Beginnings longer than a window and shorter, rows of many lengths: |difference| <= 1e-4 in fp32."""
    folder = checkpoint(family, config=config, layers=3, max_length=128)
    profile = read_profile(folder, "tiny")
    net = Watched(Transformer(profile, load_weights(folder, profile), CPU, torch.float32))
    backend = TorchBackend(profile, lambda *_: net, Place(CPU, "fp32"))
    rng = np.random.default_rng(0)

    def ids(length: int) -> list[int]:
        return rng.integers(5, profile.vocabulary, length).tolist()

    for length in (5, 12, 60):
        begin = ids(length)
        rows = [[*begin, 5 + i, *ids(int(rest))] for i, rest in enumerate(rng.integers(0, 60, 17))]
        alone = np.concatenate([backend.run(batch_of([row])) for row in rows])
        assert all(shared == 0 for _, shared in net.passes)
        net.passes.clear()
        together = backend.run(batch_of(rows))
        assert net.passes == [(sum(map(len, rows)) - 16 * length, length)]
        net.passes.clear()
        assert np.ptp(alone) > 0.5
        np.testing.assert_allclose(together, alone, atol=TOLERANCE, rtol=0)


def test_little_in_common_is_left_alone(checkpoint: Callable[..., Path]) -> None:
    """Where a tenth of the tokens could not be saved, and where tokens see those after them."""
    folder = checkpoint("llama")
    profile = read_profile(folder, "tiny")
    net = Watched(Transformer(profile, load_weights(folder, profile), CPU, torch.float32))
    backend = TorchBackend(profile, lambda *_: net, Place(CPU, "fp32"))
    backend.run(batch_of([[7, *range(10, 40)], [7, *range(20, 50)]]))
    assert net.passes == [(62, 0)]
    encoder = checkpoint("bert")
    profile = read_profile(encoder, "tiny")
    net = Watched(Transformer(profile, load_weights(encoder, profile), CPU, torch.float32))
    TorchBackend(profile, lambda *_: net, Place(CPU, "fp32")).run(batch_of([[7, 8, 9]] * 4))
    assert net.passes == [(12, 0)]


def test_a_reranker_that_is_asked_shares_its_prompt(checkpoint: Callable[..., Path]) -> None:
    """One query's scores, together and each alone; several queries share what stands before them."""
    folder = checkpoint("qwen3", template="qwen3-reranker", max_length=1024)
    options = {"template": "qwen3-reranker", "device": "cpu", "precision": "fp32", "long_documents": "truncate"}
    pairs = [(query, text) for query in ("who created python", "fox") for text in TEXTS]
    with (
        Reranker(str(folder), cache=None, **options) as together,
        Reranker(str(folder), cache=None, batch_tokens=1, **options) as alone,
    ):
        expected = alone.score(pairs, raw=True)
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(together.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(together.score(pairs[:11], raw=True), expected[:11], atol=TOLERANCE, rtol=0)
