"""Which rows go through the model together. Pure: lengths and limits in, rows out."""

from collections.abc import Iterable, Sequence

from crossrank.backends.contract import Limits


def plan(lengths: Sequence[int], limits: Limits) -> list[range]:
    """Rows in batches, in their order, each row once; no batch above the limits except a single row.

    Rows are laid end to end without padding, so there is nothing to gain from sorting them by length here.
    """
    batches: list[range] = []
    start = tokens = 0
    for row, length in enumerate(lengths):
        if row > start and (tokens + length > limits.tokens_max or row - start >= limits.rows_max):
            batches.append(range(start, row))
            start, tokens = row, 0
        tokens += length
    if start < len(lengths):
        batches.append(range(start, len(lengths)))
    return batches


def portions(sizes: Iterable[int], size_max: int) -> list[range]:
    """Neighbours in portions of at most `size_max` together (or a single one): bounds what is in memory at a time."""
    return plan(list(sizes), Limits(tokens_max=size_max, rows_max=2**31))
