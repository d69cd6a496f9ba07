"""Rows of tokens laid end to end, and where each stands when attention wants them side by side.

Places are worked out on the host, in numpy.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from crossrank.nets.lengths import by_length

SCORES_MAX = 1 << 24  # attention scores of one head over a bucket: bounds what masks and biases hold


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows of about one length, side by side.

    Attributes:
        rows: which; what all rows share is none.
        tokens: int64 [rows, longest], which packed token stands where; padding repeats a row's first.
        valid: bool [rows, longest], False for padding; None where there is none.
    """

    rows: list[int]
    tokens: Tensor
    valid: Tensor | None


@dataclass(frozen=True)
class Rows:
    """A batch on a device.

    Attributes:
        ids: int32 [tokens].
        segments: int32 [tokens].
        positions: int32 [tokens].
        starts: int32 [rows + 1], the prefix sums of the rows' lengths.
        longest: tokens of the longest row, or more.
        lengths: tokens of each row, on the host.
        shared: tokens of the first row where it is no row of its own, but what all others begin with; else 0.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    starts: Tensor
    longest: int
    lengths: tuple[int, ...]
    shared: int = 0

    @cached_property
    def buckets(self) -> tuple[tuple[Bucket, ...], Tensor]:
        """The rows by length, and int64 [tokens]: which place of all buckets laid end to end each token has.

        What rows share stands before all buckets.
        """
        first = int(self.shared > 0)
        starts = np.concatenate([[0], np.cumsum(self.lengths)])[first:]
        place = np.zeros(len(self.ids), np.int64)  # tokens of no row read anything
        place[: self.shared] = np.arange(self.shared)
        buckets, before = [], self.shared
        for rows in by_length(self.lengths[first:], SCORES_MAX, power=2):
            lengths = np.array([self.lengths[first + row] for row in rows])
            columns = np.arange(lengths.max())
            valid = columns < lengths[:, None]
            tokens = starts[rows][:, None] + np.where(valid, columns, 0)
            place[tokens[valid]] = before + np.flatnonzero(valid)
            before += tokens.size
            on_device = torch.from_numpy(tokens).to(self.ids.device)
            whole = bool(valid.all())
            buckets.append(Bucket(rows, on_device, None if whole else torch.from_numpy(valid).to(self.ids.device)))
        return tuple(buckets), torch.from_numpy(place).to(self.ids.device)


def unpacked(whole: Tensor, tokens: int, longest: int, lengths: tuple[int, ...], shared: int = 0) -> Rows:
    """The rows in `whole`, as views of it: ids, segments, positions and starts, one after the other.

    Args:
        whole: int32 [3 * tokens + rows + 1].
        tokens: places of each part; those after the last row's end belong to none.
        longest: tokens of the longest row, or more.
        lengths: tokens of each row, where attention is padded.
        shared: tokens of the first row, where the others begin with it.
    """
    ids, segments, positions = (whole[i * tokens : (i + 1) * tokens] for i in range(3))
    return Rows(ids, segments, positions, whole[3 * tokens :], longest, lengths, shared)
