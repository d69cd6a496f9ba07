"""ALiBi: attention with a bias against far tokens, to both sides, in place of positions (arXiv 2108.12409, section 3).

No kernel knows it without padding, so rows of about one length stand side by side.
"""

import torch
from torch import Tensor
from torch.nn import functional as nn

from crossrank.nets.rows import Rows


def biased(queries: Tensor, keys: Tensor, values: Tensor, rows: Rows, slopes: Tensor) -> Tensor:
    """Attention with linear biases, [tokens, heads, columns].

    Args:
        queries: [tokens, heads, columns], as keys and values are.
        keys: see there.
        values: see there.
        rows: which tokens see each other.
        slopes: what a token's distance is multiplied by, fp32 [heads].
    """
    buckets, place = rows.buckets
    outputs = []
    for bucket in buckets:
        q, k, v = (part[bucket.tokens].transpose(1, 2) for part in (queries, keys, values))
        where = torch.arange(bucket.tokens.shape[1], device=slopes.device)
        bias = (-slopes[:, None, None] * (where[:, None] - where).abs())[None].to(q.dtype)
        if bucket.valid is not None:
            bias = bias.masked_fill(~bucket.valid[:, None, None, :], float("-inf"))
        done = nn.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        outputs.append(done.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[place]


def slopes(heads: int, device: torch.device) -> Tensor:
    """A geometric sequence, fp32 [heads]; for a number of heads that is no power of two, of the two around it."""
    whole = 1 << (heads.bit_length() - 1)
    between = _geometric(2 * whole)[0::2][: heads - whole]
    return torch.tensor([*_geometric(whole), *between], dtype=torch.float32, device=device)


def _geometric(heads: int) -> list[float]:
    return [2.0 ** (-8.0 * (i + 1) / heads) for i in range(heads)]
