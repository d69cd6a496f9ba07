"""The torch engine on several GPUs: the work is shared, the answers are those of one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrank import CrossEncoder, Reranker
from crossrank.errors import UsageError

COUNT = torch.cuda.device_count() if torch.cuda.is_available() else 0
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(COUNT < 2, reason="there are no two GPUs that torch can use")]
PAIRS = [("how do foxes jump", f"the quick brown fox {i} jumps " * (i % 9 + 1)) for i in range(4_000)]
SHAPE = {"hidden": 64, "heads": 4, "layers": 3}
WORST = {"fp32": 1e-4, "bf16": 0.15}  # of logits that spread over several, of tiny random models


@pytest.mark.parametrize("precision", WORST)
@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2"])
def test_two_gpus_give_what_one_gives(family: str, precision: str, checkpoint: Callable[..., Path]) -> None:
    """To rounding; by graphs too, which are recorded on each."""
    options = {"precision": precision, "long_documents": "truncate", "cache": None}
    folder = str(checkpoint(family, **SHAPE))
    with (
        Reranker(folder, device="cuda:0", **options) as one,
        Reranker(folder, devices=["cuda:0", "cuda:1"], **options) as two,
    ):
        expected = one.score(PAIRS, raw=True)
        assert (two.facts.device, two.facts.replicas) == ("cuda:0,cuda:1", 2)
        for _ in range(3):
            np.testing.assert_allclose(two.score(PAIRS, raw=True), expected, atol=WORST[precision], rtol=0)


def test_both_are_used(checkpoint: Callable[..., Path]) -> None:
    """Each allocates for its share of one call."""
    folder = str(checkpoint("bert", **SHAPE))
    with Reranker(folder, devices=["cuda:0", "cuda:1"], cache=None) as two:
        for device in range(2):
            torch.cuda.reset_peak_memory_stats(device)
        before = [torch.cuda.memory_allocated(device) for device in range(2)]
        two.score(PAIRS)
        assert all(torch.cuda.max_memory_allocated(device) > held for device, held in enumerate(before))


def test_the_second_gpu_alone(checkpoint: Callable[..., Path]) -> None:
    """Though the first is the current one of torch."""
    folder = str(checkpoint("bert", **SHAPE))
    with (
        Reranker(folder, device="cuda:0", cache=None) as first,
        Reranker(folder, devices=["cuda:1"], cache=None) as second,
    ):
        for _ in range(3):
            np.testing.assert_allclose(second.score(PAIRS), first.score(PAIRS), atol=WORST["bf16"], rtol=0)


def test_auto_is_all_of_them(checkpoint: Callable[..., Path]) -> None:
    """And more than there are is refused."""
    folder = str(checkpoint("bert", **SHAPE))
    with Reranker(folder, replicas="auto") as reranker:
        assert reranker.facts.replicas == COUNT
    assert CrossEncoder(folder, devices=["cuda:0", "cuda:1"]).predict([("fox", "a fox")]).shape == (1,)
    with pytest.raises(UsageError, match=f"there are {COUNT} GPUs"):
        Reranker(folder, replicas=COUNT + 1)
