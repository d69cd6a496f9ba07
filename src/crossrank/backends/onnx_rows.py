"""Rows of a packed batch, side by side with as little padding as may be. It knows arrays; not sessions or models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Batch


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows side by side, each int64 [rows, longest]; places after a row's end hold `pad_id`, 0 and 0."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    mask: NDArray[np.int64]


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
