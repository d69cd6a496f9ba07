"""Heads of several labels are read as relevance, on every engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoints import with_labels
from crossrank import Reranker
from crossrank.engine.head import activate, read
from parity import PAIRS, TOLERANCE, label_logits


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_of_two_labels_the_second_is_relevance(family: str, backend: str, checkpoint: Callable[..., Path]) -> None:
    """The logit is the difference, the score the second label's probability."""
    folder = with_labels(checkpoint, family, 2)
    logits = label_logits(folder)
    options = {"backend": backend, "device": "cpu", "precision": "fp32", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), **options) as reranker:
        ours, scores = reranker.score(PAIRS, raw=True), reranker.score(PAIRS)
    np.testing.assert_allclose(ours, logits[:, 1] - logits[:, 0], atol=2 * TOLERANCE, rtol=0)
    np.testing.assert_allclose(scores, torch.softmax(torch.tensor(logits), 1)[:, 1], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("labels", [3, 5])
def test_of_several_labels_the_expected_grade_counts(
    labels: int, backend: str, checkpoint: Callable[..., Path]
) -> None:
    """The sum of each grade times its probability, which is the score too."""
    folder = with_labels(checkpoint, "bert", labels)
    expected = torch.softmax(torch.tensor(label_logits(folder)), 1) @ torch.arange(labels, dtype=torch.float32)
    options = {"backend": backend, "device": "cpu", "precision": "fp32", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), **options) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=TOLERANCE, rtol=0)
        assert reranker.score(PAIRS).tolist() == reranker.score(PAIRS, raw=True).tolist()


def test_a_sigmoid_saturates_as_late_as_fp32_can_show() -> None:
    """Logits that differ give scores that differ, as far as there are such numbers."""
    low, lower, high, higher = activate(np.array([-100, -89, 17, 18], np.float32), "sigmoid")
    assert 0 < low < lower
    assert high < higher == 1


def test_what_is_no_number_stays_none() -> None:
    """Whatever the reading, a logit that is not finite gives a value that is not finite, and is noticed."""
    for reading, labels in (("score", 1), ("odds", 2), ("grade", 3)):
        for broken in (np.nan, np.inf):
            assert not np.isfinite(read(np.full((1, labels), broken, np.float32), reading)).any()
    assert read(np.array([[0, 0, 60], [-2_000, 0, 2_000]], np.float32), "grade").tolist() == [2.0, 2.0]
