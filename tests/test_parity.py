"""Logits equal the reference implementations' on the same checkpoints, for every family and instruction set.

fp32 is compared to transformers; the other precisions to fp32, by what their rounding may do: tiny random models are
hit harder by it than trained ones, so a difference counts in standard deviations of the logits.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrank import CrossEncoder, Reranker, _native
from engines import ENGINES, FAMILIES
from parity import QUERIES, TEXTS, TOLERANCE, reference_logits

LOWER = [(isa, precision) for isa, precision in ENGINES if precision != "fp32"]
# Largest difference in standard deviations, least correlation. Measured: bf16 0.09 and 0.9997, int8 0.32 and 0.996.
AGREEMENT = {"bf16": (0.15, 0.999), "int8": (0.5, 0.99)}
SHAPES = [(12, 1, 1), (40, 2, 3), (36, 3, 2), (64, 1, 1), (128, 2, 1), (130, 5, 1)]  # hidden, heads, layers


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers(
    family: str, isa: str, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every query with every text, 1 to 300 pairs: |difference| <= 1e-4 on every instruction set this CPU has."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    folder = checkpoint(family)
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    pairs = (pairs * 7)[:300]
    with Reranker(str(folder), long_documents="truncate", precision="fp32", cache=None) as reranker:
        for count in (1, 2, 44, 300):
            expected = reference_logits(folder, pairs[:count], 64)
            np.testing.assert_allclose(reranker.score(pairs[:count], raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("hidden", "heads", "layers"), SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_odd_shapes_equal_transformers(
    family: str, hidden: int, heads: int, layers: int, checkpoint: Callable[..., Path]
) -> None:
    """Widths and head sizes that fill no vector are right as well."""
    folder = checkpoint(family, hidden=hidden, heads=heads, layers=layers)
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    with Reranker(str(folder), long_documents="truncate", precision="fp32", cache=None) as reranker:
        expected = reference_logits(folder, pairs, 64)
        np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu"])
def test_inner_activations_equal_transformers(activation: str, checkpoint: Callable[..., Path]) -> None:
    """Every activation that a profile knows is computed as transformers computes it."""
    folder = checkpoint("bert", config={"hidden_act": activation})
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    with Reranker(str(folder), long_documents="truncate", precision="fp32", cache=None) as reranker:
        expected = reference_logits(folder, pairs, 64)
        np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)


def test_bundled_model_equals_transformers(bundled: Reranker) -> None:
    """The bundled model gives the logits that transformers gives it in fp32, at full length too."""
    from crossrank.checkpoint.source import bundled_folder

    pairs = [(query, text * 9) for query in QUERIES for text in TEXTS]
    with Reranker(long_documents="truncate", precision="fp32", cache=None) as reranker:
        expected = reference_logits(bundled_folder(), pairs, 256)
        np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)


def check_agreement(model: str | None, precision: str, pairs: list[tuple[str, str]]) -> None:
    options = {"model": model, "long_documents": "truncate", "cache": None}
    with Reranker(**options, precision="fp32") as exact, Reranker(**options, precision=precision) as reranker:
        assert f", {precision}, " in repr(reranker)
        expected, logits = exact.score(pairs, raw=True), reranker.score(pairs, raw=True)
    difference_max, correlation_min = AGREEMENT[precision]
    assert np.abs(logits - expected).max() <= difference_max * expected.std()
    assert np.corrcoef(logits, expected)[0, 1] >= correlation_min


@pytest.mark.parametrize(("isa", "precision"), LOWER)
@pytest.mark.parametrize(("hidden", "heads", "layers"), [(24, 2, 2), *SHAPES])
@pytest.mark.parametrize("family", FAMILIES)
def test_lower_precisions_agree_with_fp32(
    family: str,
    hidden: int,
    heads: int,
    layers: int,
    isa: str,
    precision: str,
    checkpoint: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every family and shape, in every precision and instruction set of this CPU: only rounding is different."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    folder = checkpoint(family, hidden=hidden, heads=heads, layers=layers)
    check_agreement(str(folder), precision, [(query, text) for query in QUERIES for text in TEXTS])


@pytest.mark.parametrize(("isa", "precision"), LOWER)
def test_the_bundled_model_agrees_with_fp32(isa: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At full length too."""
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    check_agreement(None, precision, [(query, text * times) for query in QUERIES for text in TEXTS for times in (1, 9)])


@pytest.mark.parametrize("family", FAMILIES)
def test_cross_encoder_equals_sentence_transformers(family: str, checkpoint: Callable[..., Path]) -> None:
    """The drop-in gives the numbers of sentence-transformers' class, which cuts the query too when it is long."""
    from sentence_transformers import CrossEncoder as Reference

    folder = checkpoint(family)
    long_query = "natural selection of species " * 9
    pairs = [(query, text) for query in (*QUERIES, long_query, long_query * 3) for text in TEXTS]
    for max_length in (None, 48, 21):
        expected = Reference(str(folder), device="cpu", max_length=max_length).predict(pairs)
        ours = CrossEncoder(str(folder), max_length=max_length).predict(pairs, batch_size=7)
        assert ours.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)


def test_cross_encoder_forms_equal_sentence_transformers(checkpoint: Callable[..., Path]) -> None:
    """Single pairs, lists, tensors, empty input, activations and rank() come in the reference's shapes and types."""
    import torch
    from sentence_transformers import CrossEncoder as Reference

    folder = str(checkpoint("bert"))
    ours, reference = CrossEncoder(folder), Reference(folder, device="cpu")
    pairs = [("who created python", text) for text in TEXTS[2:7]]
    for options in ({}, {"convert_to_tensor": True}, {"activation_fn": torch.nn.Identity()}):
        left, right = ours.predict(pairs, **options), reference.predict(pairs, **options)
        assert type(left) is type(right)
        assert left.shape == right.shape
        np.testing.assert_allclose(np.asarray(left), np.asarray(right), atol=TOLERANCE)
    single, expected = ours.predict(pairs[0]), reference.predict(pairs[0])
    assert type(single) is type(expected)
    np.testing.assert_allclose(single, expected, atol=TOLERANCE)
    assert len(ours.predict([])) == len(reference.predict([])) == 0
    left, right = ours.predict(pairs, convert_to_numpy=False), reference.predict(pairs, convert_to_numpy=False)
    assert [type(score) for score in left] == [type(score) for score in right]
    np.testing.assert_allclose([float(s) for s in left], [float(s) for s in right], atol=TOLERANCE)
    huge = [("a b c d e " * 9, "internationalization " * 5_000)]
    np.testing.assert_allclose(ours.predict(huge), reference.predict(huge), atol=TOLERANCE)
    assert np.array_equal(ours.predict(np.array(pairs)), ours.predict(pairs))
    documents = [text for _, text in pairs]
    for options in ({}, {"top_k": 2}, {"return_documents": True}):
        left, right = ours.rank("python", documents, **options), reference.rank("python", documents, **options)
        assert [hit.keys() for hit in left] == [hit.keys() for hit in right]
        assert [hit["corpus_id"] for hit in left] == [hit["corpus_id"] for hit in right]
        np.testing.assert_allclose([h["score"] for h in left], [h["score"] for h in right], atol=TOLERANCE)
