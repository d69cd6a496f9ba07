"""ModernBERT and chains of sentence-transformers modules give the reference implementations' logits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crossrank import CrossEncoder, Reranker
from crossrank.checkpoint.families import FAMILIES as KNOWN
from engines import ENGINES, FAMILIES
from parity import QUERIES, TEXTS, TOLERANCE, reference_logits

PAIRS = [(query, text) for query in QUERIES for text in (*TEXTS, "daft zebras jump " * 90)]
LONG = {"max_length": 192, "layers": 4}  # layers: global, local, local, global; the window is a twelfth of a row
BIASES = {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}
# Logits of these random models spread over 3 to 5: what the worst and the mean pair may be off.
WORST = {"fp32": TOLERANCE, "bf16": 0.3, "int8": 0.7}
MEAN = {"fp32": TOLERANCE, "bf16": 0.04, "int8": 0.08}


def scores(folder: Path, precision: str = "fp32") -> NDArray[np.float32]:
    """Logits of all pairs."""
    with Reranker(str(folder), precision=precision, long_documents="truncate", cache=None) as reranker:
        return reranker.score(PAIRS, raw=True)


@pytest.mark.parametrize("config", [{}, {"classifier_pooling": "cls"}, BIASES, {**BIASES, "classifier_pooling": "cls"}])
@pytest.mark.parametrize(("isa", "precision"), ENGINES)
def test_modernbert_equals_transformers(
    config: dict[str, Any], isa: str, precision: str, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both poolings, with biases and without, rows longer than the window: in fp32 to 1e-4, else to its rounding."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    folder = checkpoint("modernbert", config=config, **LONG)
    expected = reference_logits(folder, PAIRS, 192)
    assert np.ptp(expected) > 1
    ours = scores(folder, precision)
    np.testing.assert_allclose(ours, expected, atol=WORST[precision], rtol=0)
    assert np.abs(ours - expected).mean() <= MEAN[precision]


@pytest.mark.parametrize(("hidden", "heads"), [(12, 1), (40, 2), (36, 3), (64, 1), (132, 2), (130, 5)])
@pytest.mark.parametrize("window", [1, 2, 7, 64, 500])
def test_odd_shapes_and_windows_equal_transformers(
    hidden: int, heads: int, window: int, checkpoint: Callable[..., Path]
) -> None:
    """Halves of heads that fill no vector rotate right; a token may see only itself, or more than there is."""
    folder = checkpoint("modernbert", hidden=hidden, heads=heads, config={"local_attention": window}, **LONG)
    np.testing.assert_allclose(scores(folder), reference_logits(folder, PAIRS, 192), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        {"layer_types": ["sliding_attention", "full_attention"] * 2},
        {"layer_types": ["full_attention"] * 4, "local_attention": 4},
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
            }
        },
        {"global_rope_theta": 80_000.0, "local_rope_theta": 100.0},
        {"global_attn_every_n_layers": 2},
        {"global_attn_every_n_layers": 1},
        {"hidden_activation": "gelu_pytorch_tanh", "classifier_activation": "relu"},
        {"hidden_activation": "relu"},
        {"norm_eps": 0.01},
    ],
)
def test_every_setting_equals_transformers(config: dict[str, Any], checkpoint: Callable[..., Path]) -> None:
    """Keys of the hub's first checkpoints and those of transformers 5 mean what they mean there."""
    folder = checkpoint("modernbert", config=config, **LONG)
    np.testing.assert_allclose(scores(folder), reference_logits(folder, PAIRS, 192), atol=TOLERANCE, rtol=0)


def test_far_positions_equal_transformers(checkpoint: Callable[..., Path]) -> None:
    """Angles of positions in the thousands are rounded as in the reference."""
    folder = checkpoint("modernbert", max_length=2048, layers=3)
    pairs = [("who created python", "natural selection is its theme " * count) for count in (200, 500, 900)]
    with Reranker(str(folder), precision="fp32", long_documents="truncate", cache=None) as reranker:
        expected = reference_logits(folder, pairs, 2048)
        np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_chain_of_modules_equals_sentence_transformers(family: str, pooling: str, chain: Callable[..., Path]) -> None:
    """Pooling, dense layers and a norm in folders of their own are the model's head, whatever the family."""
    from sentence_transformers import CrossEncoder as Reference

    folder = chain(family, pooling)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [KNOWN[family].body]
    expected = Reference(str(folder), device="cpu").predict(PAIRS)
    assert np.ptp(expected) > 0.05
    ours = CrossEncoder(str(folder)).predict(PAIRS)
    np.testing.assert_allclose(ours, expected, atol=0.02, rtol=0)
    with Reranker(str(folder), precision="fp32", long_documents="truncate", cache=None) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("activation", ["GELU", "ReLU", "Tanh", "Identity"])
def test_activations_of_modules_equal_sentence_transformers(activation: str, chain: Callable[..., Path]) -> None:
    """Every activation that is known of a module is computed as torch does it; so is that of the score."""
    import torch
    from sentence_transformers import CrossEncoder as Reference

    folder = chain(activation=getattr(torch.nn, activation), activation_fn=torch.nn.Identity())
    expected = Reference(str(folder), device="cpu").predict(PAIRS)
    with Reranker(str(folder), precision="fp32", long_documents="truncate", cache=None) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=TOLERANCE, rtol=0)
        assert reranker.score(PAIRS).tolist() == reranker.score(PAIRS, raw=True).tolist()
