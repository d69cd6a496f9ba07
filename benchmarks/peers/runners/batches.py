"""Pairs to padded batches of ids, for runtimes that take arrays: in input order, or sorted within a token budget."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

LENGTH_MAX = 512


class Tokens:
    """A tokenizer file, read; `rows` are encodings without padding."""

    def __init__(self, folder: str) -> None:
        self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LENGTH_MAX)

    def rows(self, pairs: list[tuple[str, str]]) -> list[Any]:
        """One encoding a pair."""
        return self._tokenizer.encode_batch(pairs)


def in_order(rows: list[Any], batch_size: int) -> Iterator[list[int]]:
    """Indices, `batch_size` at a time, as they came."""
    for start in range(0, len(rows), batch_size):
        yield list(range(start, min(start + batch_size, len(rows))))


def sorted_within(rows: list[Any], tokens_max: int) -> Iterator[list[int]]:
    """Indices, longest first, as many as fit into `tokens_max` with their padding."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    start = 0
    while start < len(order):
        count = max(1, tokens_max // len(rows[order[start]].ids))
        yield order[start : start + count]
        start += count


def padded(rows: list[Any], chosen: list[int]) -> dict[str, NDArray[np.int64]]:
    """The model's inputs, int64 [rows, longest]."""
    longest = max(len(rows[i].ids) for i in chosen)
    arrays = {
        name: np.zeros((len(chosen), longest), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for at, i in enumerate(chosen):
        length = len(rows[i].ids)
        arrays["input_ids"][at, :length] = rows[i].ids
        arrays["attention_mask"][at, :length] = 1
        arrays["token_type_ids"][at, :length] = rows[i].type_ids
    return arrays
