"""The torch engine on a GPU: packed attention, recorded and compiled passes, and what "auto" chooses there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrank import Reranker, errors
from crossrank.backends.device import place_for
from crossrank.backends.torch import TorchBackend
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import load_weights
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.nets.transformer import Transformer
from engines import OF_TORCH
from parity import PAIRS, TOLERANCE, reference_logits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]
SHAPE = {"hidden": 64, "heads": 4, "layers": 3}  # heads of 16 columns, which packed attention takes
WORST = 0.15  # of logits that spread over several, in bf16 of tiny random models


@pytest.mark.parametrize("family", OF_TORCH)
def test_fp32_equals_transformers(family: str, checkpoint: Callable[..., Path]) -> None:
    """On the GPU as on the CPU: |difference| <= 1e-4."""
    folder = checkpoint(family, **SHAPE)
    with Reranker(str(folder), device="cuda", precision="fp32", long_documents="truncate", cache=None) as reranker:
        ours = reranker.score(PAIRS, raw=True)
    np.testing.assert_allclose(ours, reference_logits(folder, PAIRS, 64), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", OF_TORCH)
def test_bf16_is_near_and_the_same_in_any_batch(family: str, checkpoint: Callable[..., Path]) -> None:
    """Packed, by graphs (from the second call on) or kernel by kernel, in any order: near fp32, and near itself."""
    folder = checkpoint(family, **SHAPE)
    exact = reference_logits(folder, PAIRS, 64)
    options = {"device": "cuda", "precision": "bf16", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), **options) as reranker, Reranker(str(folder), **options, batch_tokens=100) as small:
        calls = [reranker.score(PAIRS, raw=True) for _ in range(4)]
        calls += [reranker.score(PAIRS[::-1], raw=True)[::-1], small.score(PAIRS, raw=True)]
    for scores in calls:
        assert np.abs(scores - exact).mean() <= WORST / 3
        np.testing.assert_allclose(scores, calls[0], atol=WORST, rtol=0)


def test_graphs_give_what_eager_kernels_give(checkpoint: Callable[..., Path]) -> None:
    """Recorded for a larger shape, replayed for many batches, from several threads."""
    from concurrent.futures import ThreadPoolExecutor

    folder = checkpoint("bert", **SHAPE)
    profile, place = read_profile(folder, "tiny"), place_for("cuda", "bf16")
    weights = load_weights(folder, profile)
    opened = open_scorer(
        OpenConfig(str(folder), device="cuda", precision="bf16", cache=None, long_documents="truncate")
    )

    def scorer(**options: bool) -> Callable[[list[Pair]], list[float]]:
        backend = TorchBackend(profile, lambda *where: Transformer(profile, weights, *where), place, **options)
        one = replace(opened, backend=backend)
        return lambda pairs: [one.score(pairs).results[pair].logit for pair in pairs]

    eager, recorded = scorer(graphs=False), scorer()
    batches = [[Pair(*pair) for pair in PAIRS[start : start + 7]] for start in range(0, len(PAIRS) - 7, 3)]
    expected = [eager(batch) for batch in batches]
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            for got, wanted in zip(pool.map(recorded, batches), expected, strict=True):
                np.testing.assert_allclose(got, wanted, atol=0.02, rtol=0)


def test_compiled_kernels_give_the_same(checkpoint: Callable[..., Path]) -> None:
    """torch.compile changes the speed only."""
    folder = checkpoint("bert", **SHAPE)
    options = {"device": "cuda", "precision": "bf16", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), **options) as eager, Reranker(str(folder), **options, compile=True) as compiled:
        np.testing.assert_allclose(compiled.score(PAIRS), eager.score(PAIRS), atol=0.02, rtol=0)


def test_auto_takes_the_gpu(checkpoint: Callable[..., Path]) -> None:
    """Where there is one, every family runs there."""
    with Reranker(str(checkpoint("bert", **SHAPE))) as reranker:
        assert "torch/varlen" in repr(reranker)
        assert "cuda:0" in repr(reranker)


def test_short_memory_is_survived(checkpoint: Callable[..., Path]) -> None:
    """With a limit on the allocator, a pass that does not fit is run in parts."""
    folder = checkpoint("bert", hidden=1024, heads=16, layers=2, max_length=512)
    pairs = [("fox", f"document {i} " + "the quick brown fox " * 90) for i in range(400)]
    options = {"device": "cuda", "precision": "bf16", "cache": None, "long_documents": "truncate"}
    with Reranker(str(folder), **options) as reranker:
        expected = reranker.score(pairs, raw=True)
        free, total = torch.cuda.mem_get_info()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 2**29) / total)
        try:
            np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=WORST, rtol=0)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert free > 0


def test_a_gpu_that_there_is_not_is_refused(checkpoint: Callable[..., Path]) -> None:
    """The message says how many there are."""
    with pytest.raises(errors.UsageError, match=f"there are {torch.cuda.device_count()} GPUs"):
        Reranker(str(checkpoint("bert")), device="cuda:99")
