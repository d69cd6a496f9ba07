"""Rows of a packed batch, side by side with as little padding as may be. It knows arrays; not sessions or models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Batch

PADDING_MAX = 1.125  # a bucket's longest row over its shortest one
PADDING_FREE = 8  # tokens by which they may always differ


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows side by side, each int64 [rows, longest]; places after a row's end hold `pad_id`, 0 and 0."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    mask: NDArray[np.int64]


def by_length(lengths: Sequence[int], tokens_max: int) -> list[list[int]]:
    """Rows in buckets of about one length, the longest first, of at most `tokens_max` with padding or one row; pure."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    buckets: list[list[int]] = []
    for row in order:
        longest = lengths[buckets[-1][0]] if buckets else 0
        near = longest <= max(PADDING_MAX * lengths[row], lengths[row] + PADDING_FREE)
        if buckets and near and (len(buckets[-1]) + 1) * longest <= tokens_max:
            buckets[-1].append(row)
        else:
            buckets.append([row])
    return buckets


def side_by_side(batch: Batch, rows: Sequence[int], pad_id: int) -> Padded:
    """Some rows of a batch, as long as the longest of them."""
    starts = batch.offsets[:-1][list(rows)].astype(np.int64)
    lengths = np.diff(batch.offsets)[list(rows)]
    columns = np.arange(lengths.max())
    valid = columns < lengths[:, None]
    tokens = starts[:, None] + np.where(valid, columns, 0)
    return Padded(
        np.where(valid, batch.ids[tokens], pad_id).astype(np.int64),
        np.where(valid, batch.segments[tokens], 0).astype(np.int64),
        valid.astype(np.int64),
    )
