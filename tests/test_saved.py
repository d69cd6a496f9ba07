"""What other libraries save opens and scores as it does with them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checkpoints import save_as_cross_encoder
from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from engines import FAMILIES
from parity import FEW


@pytest.mark.parametrize("max_length", [None, 32])
def test_a_checkpoint_saved_by_sentence_transformers_loads(
    max_length: int | None, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """What CrossEncoder.save_pretrained writes scores as the CrossEncoder does, with its maximal length."""
    from sentence_transformers import CrossEncoder

    saved = CrossEncoder(str(checkpoint("bert")), max_length=max_length)
    saved.save_pretrained(str(tmp_path))
    assert read_profile(tmp_path, "some/model").max_length == (max_length or 64)
    np.testing.assert_allclose(Reranker(str(tmp_path), precision="fp32").score(FEW), saved.predict(FEW), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_saved_by_transformers_loads(family: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """What save_pretrained writes of model and tokenizer has the logits of the original."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(checkpoint(family)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(checkpoint(family)).save_pretrained(tmp_path)
    original, saved = Reranker(str(checkpoint(family))), Reranker(str(tmp_path))
    np.testing.assert_array_equal(saved.score(FEW, raw=True), original.score(FEW, raw=True))


@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_texts_are_made_small_where_it_is_stored(family: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """do_lower_case of sentence-transformers, before the tokenizer's own normaliser; nothing where that does it."""
    from sentence_transformers import CrossEncoder

    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    pairs = [("Who CREATED Python", "Guido van Rossum created IT"), ("İstanbul", "The Quick BROWN fox")]
    small = [(query.lower(), text.lower()) for query, text in pairs]
    with Reranker(str(folder), precision="fp32") as plain:
        before = plain.score([*pairs, *small])
    assert np.allclose(before[:2], before[2:], atol=1e-5) == (family == "bert")
    save_as_cross_encoder(folder, {"do_lower_case": True})
    expected = CrossEncoder(str(folder), device="cpu").predict(pairs)
    with Reranker(str(folder), precision="fp32") as reranker:
        np.testing.assert_allclose(reranker.score(pairs), expected, atol=1e-5)
        np.testing.assert_allclose(reranker.score(pairs[:1]), before[2:3], atol=1e-5)
