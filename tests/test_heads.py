"""Heads of several labels are read as relevance, on every engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrank import Reranker
from crossrank.engine.head import read
from test_parity import QUERIES, TEXTS, TOLERANCE

PAIRS = [(query, text) for query in QUERIES for text in TEXTS]


def label_logits(folder: Path) -> np.ndarray:
    """transformers' logits of all labels, fp32 [pairs, labels]."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    queries, documents = zip(*PAIRS, strict=True)
    options = {"padding": True, "truncation": "only_second", "max_length": 64, "return_tensors": "pt"}
    with torch.inference_mode():
        return model(**tokenizer(list(queries), list(documents), **options)).logits.numpy()


def with_labels(checkpoint: Callable[..., Path], family: str, count: int) -> Path:
    """A tiny classifier of so many labels."""
    names = {str(i): f"LABEL_{i}" for i in range(count)}
    return checkpoint(family, config={"id2label": names, "label2id": {name: int(i) for i, name in names.items()}})


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


def test_what_is_no_number_stays_none() -> None:
    """Whatever the reading, a logit that is not finite gives a value that is not finite, and is noticed."""
    for reading, labels in (("score", 1), ("odds", 2), ("grade", 3)):
        for broken in (np.nan, np.inf):
            assert not np.isfinite(read(np.full((1, labels), broken, np.float32), reading)).any()
    assert read(np.array([[0, 0, 60]], np.float32), "grade").tolist() == [2.0]
