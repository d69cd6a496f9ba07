"""DeBERTa's attention: besides content to content, content to distance and distance to content (arXiv 2006.03654).

No kernel knows it without padding, so rows of about one length stand side by side.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as nn

from crossrank.checkpoint.layouts import Relative
from crossrank.nets.rows import Rows


def disentangled(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rows: Rows,
    relative: Relative,
    far: tuple[Tensor | None, Tensor | None],
) -> Tensor:
    """Attention with two biases, [tokens, heads, columns].

    Args:
        queries: [tokens, heads, columns], as keys and values are.
        keys: see there.
        values: see there.
        rows: which tokens see each other.
        relative: how distances are told apart.
        far: keys and queries of distances, each [2 * span, heads, columns] or None where they are not looked at.
    """
    scale = 1.0 / math.sqrt(queries.shape[-1] * (1 + sum(part is not None for part in far)))
    far_keys, far_queries = (None if part is None else part.permute(1, 2, 0) for part in far)
    buckets, place = rows.buckets
    outputs = []
    for bucket in buckets:
        count, longest = bucket.tokens.shape
        index = distances(longest, relative, bucket.tokens.device)
        q, k, v = (part[bucket.tokens].transpose(1, 2) for part in (queries, keys, values))
        wanted = (count, queries.shape[1], longest, longest)
        bias = q.new_zeros(wanted)
        if far_keys is not None:
            ahead = (index + relative.span).clamp(0, 2 * relative.span - 1)
            bias = bias + (q @ far_keys).gather(-1, ahead.expand(wanted))
        if far_queries is not None:
            back = (relative.span - index).clamp(0, 2 * relative.span - 1)
            bias = bias + (k @ far_queries).gather(-1, back.expand(wanted)).transpose(-1, -2)
        bias = bias * scale
        if bucket.valid is not None:
            bias = bias.masked_fill(~bucket.valid[:, None, None, :], float("-inf"))
        done = nn.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        outputs.append(done.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[place]


@lru_cache(maxsize=64)
def distances(longest: int, relative: Relative, device: torch.device) -> Tensor:
    """Distances from each token to each, int64 [longest, longest], those far away in logarithmic buckets."""
    place = torch.arange(longest)
    apart = place[:, None] - place[None, :]
    if relative.buckets:
        middle = relative.buckets // 2
        size = torch.where(apart.abs() < middle, torch.tensor(middle - 1), apart.abs())
        farthest = torch.log(torch.tensor((relative.positions - 1) / middle))
        bucket = torch.ceil(torch.log(size / middle) / farthest * (middle - 1)) + middle
        apart = torch.where(size <= middle, apart, (bucket * apart.sign()).long())
    return apart.to(device)
