"""Rows in buckets of about one length, for whatever wants them side by side. Pure; it loads no torch."""

from collections.abc import Sequence

PADDING_MAX = 1.125  # a bucket's longest row over its shortest one
PADDING_FREE = 8  # tokens by which they may always differ


def by_length(lengths: Sequence[int], size_max: int, *, power: int = 1) -> list[list[int]]:
    """Rows in buckets, the longest first; a bucket is one row or no larger than `size_max`.

    Args:
        lengths: tokens of each row.
        size_max: of rows times longest ** power.
        power: 1 counts tokens with their padding, 2 attention scores of one head.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    buckets: list[list[int]] = []
    for row in order:
        longest = lengths[buckets[-1][0]] if buckets else 0
        near = longest <= max(PADDING_MAX * lengths[row], lengths[row] + PADDING_FREE)
        if buckets and near and (len(buckets[-1]) + 1) * longest**power <= size_max:
            buckets[-1].append(row)
        else:
            buckets.append([row])
    return buckets
