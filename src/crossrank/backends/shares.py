"""Which replica gets which rows of a batch, so that all are done at about the same time. Pure: lengths and loads in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def shares(offsets: NDArray[np.int32], loads: Sequence[int], least: int) -> list[tuple[int, range]]:
    """Replicas with neighbouring rows for each, in the rows' order, each row once, no replica twice.

    As water finds its level: what is under way and what is added come to the same for all that get any.

    Args:
        offsets: int32 [rows + 1] of the batch; at least one row.
        loads: tokens that are under way, by replica.
        least: tokens below which a share is not worth its way, unless it is the only one.
    """
    tokens = int(offsets[-1])
    order = sorted(range(len(loads)), key=lambda replica: loads[replica])
    used = len(order)
    level = (tokens + sum(loads)) / used
    while used > 1 and level - loads[order[used - 1]] < least:
        used -= 1
        level = (tokens + sum(loads[replica] for replica in order[:used])) / used
    dealt: list[tuple[int, range]] = []
    start, until = 0, 0.0
    for replica in order[:used]:
        until += level - loads[replica]
        last = replica == order[used - 1]
        stop = len(offsets) - 1 if last else max(start, _nearest(offsets, until))
        if stop > start:
            dealt.append((replica, range(start, stop)))
        start = stop
    return dealt


def _nearest(offsets: NDArray[np.int32], tokens: float) -> int:
    """The row before which there are about so many tokens."""
    after = min(int(np.searchsorted(offsets, tokens)), len(offsets) - 1)
    before = max(after - 1, 0)
    return before if tokens - offsets[before] < offsets[after] - tokens else after
