"""A batch as the one array that is copied to a device. It knows batches and profiles; not torch."""

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Batch
from crossrank.checkpoint.profile import ModelProfile

ROWS_SHARING_MIN = 2


def positions_of(batch: Batch, profile: ModelProfile) -> NDArray[np.int32]:
    """The position of each token, int32 [tokens]: from 0, or as RoBERTa counts, from after the padding's id."""
    starts, lengths = batch.offsets[:-1], np.diff(batch.offsets)
    if not profile.family.positions_from_padding:
        from_start: NDArray[np.int32] = np.arange(len(batch.ids), dtype=np.int32) - np.repeat(starts, lengths)
        return from_start
    real = batch.ids != profile.pad_id
    counted = np.cumsum(real)
    before = np.where(starts > 0, counted[starts - 1], 0)
    past_padding: NDArray[np.int32] = ((counted - np.repeat(before, lengths)) * real + profile.pad_id).astype(np.int32)
    return past_padding


def shared_beginning(batch: Batch) -> int:
    """How many tokens all rows begin with, each having at least one more; 0 for a single row."""
    starts, lengths = batch.offsets[:-1], np.diff(batch.offsets)
    if len(lengths) < ROWS_SHARING_MIN:
        return 0
    most = int(lengths.min()) - 1
    first = batch.ids[:most]
    for start in starts[1:]:  # the first difference ends it, so that this costs what is shared and no more
        differ = batch.ids[start : start + most] != first[:most]
        most = int(differ.argmax()) if differ.any() else most
        if not most:
            break
    return most


def beginning_apart(batch: Batch, shared: int) -> Batch:
    """What all rows begin with as the first row, then the rest of each."""
    starts, lengths = batch.offsets[:-1], np.diff(batch.offsets)
    kept = np.ones(len(batch.ids), bool)
    kept[(starts[:, None] + np.arange(shared)).ravel()] = False
    kept[:shared] = True
    offsets = np.concatenate([[0, shared], shared + np.cumsum(lengths - shared)]).astype(np.int32)
    return Batch(batch.ids[kept], batch.segments[kept], offsets)


def packed(
    batch: Batch, profile: ModelProfile, *, tokens: int = 0, rows: int = 0, shared: int = 0
) -> NDArray[np.int32]:
    """Ids, segments, positions and starts, one after the other, int32 [3 * tokens + rows + 1], as `Rows` has them.

    Args:
        batch: what is to be run.
        profile: of the model.
        tokens: places to lay out; those beyond the batch's belong to no row.
        rows: likewise; those beyond the batch's are empty.
        shared: tokens of the first row, where the others come after it.
    """
    tokens, count = max(tokens, len(batch.ids)), len(batch.offsets) - 1
    rows = max(rows, count)
    whole = np.zeros(3 * tokens + rows + 1, np.int32)
    positions = positions_of(batch, profile)
    positions[shared:] += shared
    for i, part in enumerate((batch.ids, batch.segments, positions)):
        whole[i * tokens : i * tokens + len(part)] = part
    whole[3 * tokens :] = batch.offsets[-1]
    whole[3 * tokens : 3 * tokens + count] = batch.offsets[:-1]
    return whole
