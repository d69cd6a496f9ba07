"""A model that scores at random, or nothing at all, is found out when it is opened."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checkpoints import changed_checkpoint
from crossrank import Reranker, errors
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.selftest import PROBES, self_test
from crossrank.testing import FakeBackend
from fakes import fake_scorer


def test_the_bundled_model_passes() -> None:
    """Each document that answers its query is far above the one that does not."""
    outcome = self_test(open_scorer(OpenConfig(self_test=False)))
    assert outcome.doubts == ()
    assert len(outcome.logits) == len(PROBES)
    assert all(on > off + 3 for on, off in outcome.logits)


def test_a_head_of_zeros_is_refused(tmp_path: Path) -> None:
    """Equal scores for all are no scores, and the message says what is likely wrong."""

    def erase(weights: dict[str, np.ndarray]) -> None:
        weights["head.1.weight"][:] = 0

    with pytest.raises(errors.CheckpointError, match=r"same logit.*head is likely not trained"):
        Reranker(str(changed_checkpoint(tmp_path / "zero", erase)))


def test_a_tokenizer_that_knows_no_word_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """What is all unknown to the tokenizer cannot be told apart."""
    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    special = [token["content"] for token in tokenizer["added_tokens"]]
    tokenizer["model"]["vocab"] = {piece if piece in special else f"\u2603{i}": i for piece, i in vocabulary.items()}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(errors.CheckpointError, match="belongs to another model"):
        Reranker(str(folder))


def test_a_model_that_prefers_the_wrong_documents_is_warned_about(
    checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """It is opened, for it may be meant so; the log says what may be wrong."""
    scorer = fake_scorer(checkpoint("bert"), FakeBackend(lambda ids: 0.0))
    texts = scorer.encoder.tokens(text for probe in PROBES for text in probe)
    right = {i for query, on, _ in PROBES for text in (query, on) for i in texts[text].ids.tolist()}
    wrong = {i for _, _, off in PROBES for i in texts[off].ids.tolist()} - right
    backend = FakeBackend(lambda ids: float(len(wrong & set(ids.tolist()))))
    with caplog.at_level(logging.WARNING, logger="crossrank"):
        outcome = self_test(fake_scorer(checkpoint("bert"), backend))
    assert "wrong template" in outcome.doubts[0]
    assert "wrong template" in caplog.text


def test_no_numbers_are_an_error_when_the_model_is_opened(tmp_path: Path) -> None:
    """NaN for the probes will be NaN for all."""

    def enlarge(weights: dict[str, np.ndarray]) -> None:
        weights["layers.0.ffn.down.weight"] *= np.float32(1e25)

    with pytest.raises(errors.CheckpointError, match="found when the model was opened"):
        Reranker(str(changed_checkpoint(tmp_path / "huge", enlarge)))
