"""What logits are compared on and with: queries, texts, transformers in fp32, and how far apart they may be."""

from pathlib import Path

import numpy as np

TOLERANCE = 1e-4
TEXTS = (
    "",
    " ",
    "a",
    "Guido van Rossum created Python.",
    "natural selection " * 40,
    "Crème brûlée costs 12.50 € in Zürich; naïve façades!",
    "北京是中国的首都。東京は日本の首都です。",
    "e\u0301 combining, \u200b zero width, \ufeff mark, 👩‍👩‍👧 family, \x00 control, tab\tand\nnewline",
    "[SEP] special </s> tokens <pad> inside [PAD] the text [MASK]",
    "x" * 300,
    "don't stop (never!) -- e.g. at #5: $1,000.00?",
)
QUERIES = ("who created python", "What is natural selection?", "Zürich", "首都")
FEW = [("fox", "The quick brown fox jumps"), ("首都", "北京是中国的首都。"), ("python", "Guido created it")]
PAIRS = [(query, text) for query in QUERIES for text in TEXTS]


def reference_logits(folder: Path, pairs: list[tuple[str, str]], max_length: int) -> np.ndarray:
    """transformers in fp32: the pair tokenised by it, cutting only the document, one padded batch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    model.eval()
    logits = []
    with torch.inference_mode():
        for start in range(0, len(pairs), 64):
            queries, documents = zip(*pairs[start : start + 64], strict=True)
            batch = tokenizer(
                list(queries),
                list(documents),
                padding=True,
                truncation="only_second",
                max_length=max_length,
                return_tensors="pt",
            )
            logits.append(model(**batch).logits[:, 0].numpy())
    return np.concatenate(logits)


def label_logits(folder: Path) -> np.ndarray:
    """transformers' logits of all labels for PAIRS, fp32 [pairs, labels]."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    queries, documents = zip(*PAIRS, strict=True)
    options = {"padding": True, "truncation": "only_second", "max_length": 64, "return_tensors": "pt"}
    with torch.inference_mode():
        return model(**tokenizer(list(queries), list(documents), **options)).logits.numpy()
