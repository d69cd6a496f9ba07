"""Softmax attention over rows of different lengths: which kernel computes it is decided here and nowhere else."""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as nn

from crossrank.nets.rows import Bucket, Rows

Attend = Callable[[Tensor, Tensor, Tensor, Rows, int | None, bool], Tensor]
"""Queries [tokens, heads, columns], keys and values [tokens, kv heads, columns], rows, window, whether causal."""

VARLEN_COLUMNS_MAX = 256
AMPERE = (8, 0)  # the first NVIDIA generation that computes in bf16


def attention_for(device: torch.device, dtype: torch.dtype, columns: int) -> tuple[str, Attend]:
    """The kernel for a device, a dtype and a head's columns, and its name: `varlen` without padding, else `padded`."""
    varlen = _varlen() if device.type == "cuda" else None
    fits = dtype in (torch.float16, torch.bfloat16) and columns % 8 == 0 and columns <= VARLEN_COLUMNS_MAX
    if varlen is None or not fits or torch.cuda.get_device_capability(device) < AMPERE:
        return "padded", padded
    return "varlen", varlen


def padded(queries: Tensor, keys: Tensor, values: Tensor, rows: Rows, window: int | None, causal: bool) -> Tensor:  # noqa: FBT001 - an Attend
    """Rows of about one length side by side, in torch's own scaled_dot_product_attention."""
    groups = queries.shape[1] // keys.shape[1]
    if groups > 1:
        keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    buckets, place = rows.buckets
    outputs = []
    if rows.shared:
        assert causal, "bug: what rows share would see what comes after it"
        q, k, v = (part[None, : rows.shared].transpose(1, 2) for part in (queries, keys, values))
        alone = Bucket([], torch.arange(rows.shared, device=queries.device)[None], None)
        mask = _mask(alone, window, causal=True)
        done = nn.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        outputs.append(done[0].transpose(0, 1))
        begin = k, v
    for bucket in buckets:
        q, k, v = (part[bucket.tokens].transpose(1, 2) for part in (queries, keys, values))
        if rows.shared:
            k, v = (
                torch.cat([one.expand(len(rest), -1, -1, -1), rest], 2) for one, rest in zip(begin, (k, v), strict=True)
            )
            mask = _mask_after(rows.shared, bucket, window)
        else:
            mask = _mask(bucket, window, causal=causal)
        # Padding stands after a row's tokens, so a causal mask alone hides it.
        done = nn.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and mask is None)
        outputs.append(done.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[place]


def _mask_after(shared: int, bucket: Bucket, window: int | None) -> Tensor:
    """Whom each token after a shared beginning sees, bool [1, 1, longest, shared + longest]."""
    longest = bucket.tokens.shape[1]
    device = bucket.tokens.device
    distance = torch.arange(shared, shared + longest, device=device)[:, None] - torch.arange(
        shared + longest, device=device
    )
    seen = distance >= 0
    return (seen if window is None else seen & (distance <= window))[None, None]


def _mask(bucket: Bucket, window: int | None, *, causal: bool) -> Tensor | None:
    """Whom each token sees, bool [rows or 1, 1, longest or 1, longest]; None for all, or all before it."""
    longest = bucket.tokens.shape[1]
    mask = None if causal or bucket.valid is None else bucket.valid[:, None, None, :]
    if window is None or window >= longest - 1:
        return mask
    place = torch.arange(longest, device=bucket.tokens.device)
    distance = place[:, None] - place[None, :]
    near = (distance >= 0) & (distance <= window) if causal else distance.abs() <= window
    return near[None, None] if mask is None else near & mask


def _varlen() -> Attend | None:
    """Torch's attention over packed rows; None where this version of it lacks what we need."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    if not {"window_size", "enable_gqa", "num_splits"} <= set(inspect.signature(varlen_attn).parameters):
        return None

    def varlen(queries: Tensor, keys: Tensor, values: Tensor, rows: Rows, window: int | None, causal: bool) -> Tensor:  # noqa: FBT001 - an Attend
        left = -1 if window is None else window
        attended: Tensor = varlen_attn(
            queries,
            keys,
            values,
            rows.starts,
            rows.starts,
            rows.longest,
            rows.longest,
            window_size=(left, 0 if causal else left),
            enable_gqa=queries.shape[1] != keys.shape[1],
            num_splits=1,  # a row's sums are then taken in one order, whatever else is in the batch
        )
        return attended

    return varlen
