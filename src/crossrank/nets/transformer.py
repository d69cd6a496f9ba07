"""The transformer on packed tokens, encoder or decoder, as the profile's layout says. Read `__call__` top to bottom."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nn

from crossrank.checkpoint.families import AnswerStep, NormStep
from crossrank.checkpoint.layouts import Scaling, Sight
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import Tensor as Stored
from crossrank.nets.attention import attention_for
from crossrank.nets.biased import biased, slopes
from crossrank.nets.disentangled import disentangled
from crossrank.nets.rows import Rows

Layer = Callable[[Tensor], Tensor]

ACTIVATIONS: Mapping[str, Layer] = {
    "none": lambda x: x,
    "gelu": nn.gelu,
    "gelu_tanh": partial(nn.gelu, approximate="tanh"),
    "relu": nn.relu,
    "silu": nn.silu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True, slots=True)
class Dense:
    """x W^T + b."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return nn.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer norm, or RMS norm; sums are in fp32."""

    weight: Tensor
    bias: Tensor | None
    eps: float
    rms: bool

    def __call__(self, x: Tensor) -> Tensor:
        """The shape and dtype of `x`."""
        if self.rms:
            return nn.rms_norm(x.to(self.weight.dtype), self.weight.shape, self.weight, self.eps).to(x.dtype)
        return nn.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of one layer; `up` holds a GLU's gate too."""

    sight: Sight
    qkv: Dense
    query_norm: Norm | None
    key_norm: Norm | None
    far: tuple[Dense | None, Dense | None]  # keys and queries of distances
    output: Dense
    norm: Norm
    up: Dense
    down: Dense
    ffn_norm: Norm


class Transformer:
    """A model of a family that is known, on one device and in one dtype; its head is in fp32.

    Args:
        profile: of the model.
        weights: by canonical name, as `load_weights` gives them.
        device: where it runs.
        dtype: of its weights and activations.
    """

    def __init__(
        self, profile: ModelProfile, weights: Mapping[str, Stored], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._weights, self._device, self._dtype = weights, device, dtype
        self._profile, self._layout = profile, profile.layout
        self.kernel, self._attend = attention_for(device, dtype, profile.head_size)
        if self._layout.relative is not None or self._layout.linear_biases:
            self.kernel = "padded"
        self._slopes = slopes(profile.heads, device) if self._layout.linear_biases else None
        self._words = self._tensor("embeddings.word")
        self._places = self._tensor("embeddings.position") if self._layout.learned_positions else None
        self._types = self._tensor("embeddings.type") if profile.segments else None
        self._project = self._dense("embeddings.project") if profile.embedding != profile.hidden else None
        self._norm = self._maybe_norm("embeddings.norm")
        self._first_norm = self._maybe_norm("first_norm")
        self._blocks = [self._block(i, sight) for i, sight in enumerate(self._layout.sights)]
        self._distances = self._distance_embeddings()
        self._rotations = {
            sight: rotation(sight, profile.head_size, device) for sight in self._layout.sights if sight.theta
        }
        self._head = [self._head_step(i) for i in range(len(profile.head))]
        self._weights = {}

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, rows: Rows) -> Tensor:
        """Logits fp32 [rows, labels]."""
        x = self._embed(rows)
        turns = {sight: _angles(rows.positions, frequencies, x.dtype) for sight, frequencies in self._rotations.items()}
        read = x if self._first_norm is None else self._first_norm(x)
        for block in self._blocks:
            attended = self._attention(block, read, rows, turns.get(block.sight))
            if block is self._blocks[-1] and self._profile.pooling != "mean":  # the rest looks at one token a row
                kept = self._looked_at(rows)
                attended, x = attended[kept], x[kept]
            if self._layout.norm_first:
                x = x + self._added(block.output(attended))
                x = x + self._added(self._ffn(block, block.norm(x)))
                read = block.ffn_norm(x)
            else:
                x = block.norm(x + block.output(attended))
                read = x = block.ffn_norm(x + self._ffn(block, x))
        pooled = read.float()
        if self._profile.pooling == "mean":
            pooled = torch.segment_reduce(pooled, "mean", offsets=rows.starts.long(), unsafe=True)
        for step in self._head:
            pooled = step(pooled)
        return pooled

    def _added(self, x: Tensor) -> Tensor:
        """What a sublayer adds to the residual stream."""
        scale = self._layout.residual_scale
        return x if scale == 1.0 else x * scale

    def _embed(self, rows: Rows) -> Tensor:
        x = nn.embedding(rows.ids, self._words)
        if self._layout.embedding_scale != 1.0:
            x = x * torch.tensor(self._layout.embedding_scale, dtype=x.dtype, device=x.device)
        if self._places is not None:
            x = x + nn.embedding(rows.positions, self._places)
        if self._types is not None:
            x = x + nn.embedding(rows.segments, self._types)
        steps = (self._project, self._norm) if self._layout.project_first else (self._norm, self._project)
        for step in steps:
            x = x if step is None else step(x)
        return x

    def _attention(self, block: Block, x: Tensor, rows: Rows, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        """What each token takes from those it sees, [tokens, heads * columns]."""
        p, layout = self._profile, self._layout
        parts = block.qkv(x).split([p.heads * p.head_size, p.kv_heads * p.head_size, p.kv_heads * p.head_size], dim=-1)
        queries, keys, values = (part.unflatten(-1, (-1, p.head_size)) for part in parts)
        if block.query_norm is not None and block.key_norm is not None:
            queries, keys = block.query_norm(queries), block.key_norm(keys)
        if turn is not None:
            queries, keys = rotated(queries, turn), rotated(keys, turn)
        if self._slopes is not None:
            attended = biased(queries, keys, values, rows, self._slopes)
        elif layout.relative is None:
            attended = self._attend(queries, keys, values, rows, block.sight.window, layout.causal)
        else:
            assert self._distances is not None, "bug: relative attention without distances"
            near = self._distances
            far = tuple(None if dense is None else dense(near).unflatten(-1, (-1, p.head_size)) for dense in block.far)
            attended = disentangled(queries, keys, values, rows, layout.relative, far)  # type: ignore[arg-type]
        return attended.flatten(1)

    def _ffn(self, block: Block, x: Tensor) -> Tensor:
        wide = block.up(x)
        activation = ACTIVATIONS[self._layout.activation]
        if not self._layout.gated:
            return block.down(activation(wide))
        up, gate = wide.chunk(2, dim=-1)
        return block.down(activation(up) * gate)

    def _looked_at(self, rows: Rows) -> Tensor:
        """The token of each row that the head looks at, int64 [rows]; any token for rows that are empty."""
        token = rows.starts[:-1] if self._profile.pooling == "first" else rows.starts[1:] - 1
        if rows.shared:
            token = token[1:]
        return token.clamp(0, len(rows.ids) - 1).long()

    # What follows puts the weights together.

    def _block(self, i: int, sight: Sight) -> Block:
        layout, attention, ffn = self._layout, f"layers.{i}.attention", f"layers.{i}.ffn"
        relative, head_norm = layout.relative, layout.query_key_norm
        far_key, far_query = ("key", "query") if relative and relative.shared else ("far_key", "far_query")
        return Block(
            sight=sight,
            qkv=self._dense(*(f"{attention}.{part}" for part in ("query", "key", "value"))),
            query_norm=self._norm_of(f"{attention}.query_norm") if head_norm else None,
            key_norm=self._norm_of(f"{attention}.key_norm") if head_norm else None,
            far=(
                self._dense(f"{attention}.{far_key}") if relative and relative.content_to_position else None,
                self._dense(f"{attention}.{far_query}") if relative and relative.position_to_content else None,
            ),
            output=self._dense(f"{attention}.output"),
            norm=self._norm_of(f"{attention}.norm"),
            up=self._dense(f"{ffn}.up", f"{ffn}.gate") if layout.gated else self._dense(f"{ffn}.up"),
            down=self._dense(f"{ffn}.down"),
            ffn_norm=self._norm_of(f"{ffn}.norm"),
        )

    def _distance_embeddings(self) -> Tensor | None:
        """Of DeBERTa's distances, [2 * span, hidden]."""
        if self._layout.relative is None:
            return None
        embeddings = self._tensor("distances")
        return self._norm_of("distances.norm")(embeddings) if self._layout.relative.normed else embeddings

    def _head_step(self, i: int) -> Layer:
        step = self._profile.head[i]
        if isinstance(step, AnswerStep):
            return Dense(self._tensor(f"head.{i}.weight", torch.float32), None)
        weight = self._tensor(f"head.{i}.weight", torch.float32)
        bias = self._tensor(f"head.{i}.bias", torch.float32) if step.bias else None
        if isinstance(step, NormStep):
            return Norm(weight, bias, step.eps, rms=False)
        dense, activation = Dense(weight, bias), ACTIVATIONS[step.activation]
        return lambda x: activation(dense(x))

    def _dense(self, *names: str) -> Dense:
        """One layer of all that are named, one below the other."""
        weights = [self._tensor(f"{name}.weight") for name in names]
        biases = [self._tensor(f"{name}.bias") for name in names if f"{name}.bias" in self._weights]
        return Dense(torch.cat(weights), torch.cat(biases) if biases else None)

    def _maybe_norm(self, name: str) -> Norm | None:
        return self._norm_of(name) if f"{name}.weight" in self._weights else None

    def _norm_of(self, name: str) -> Norm:
        offset = self._layout.norm_offset
        # 1 + w in bf16 would lose most of a small w.
        weight = self._tensor(f"{name}.weight", torch.float32) + offset if offset else self._tensor(f"{name}.weight")
        bias = self._tensor(f"{name}.bias") if f"{name}.bias" in self._weights else None
        return Norm(weight, bias, self._layout.norm_eps, self._layout.norm == "rms")

    def _tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        stored = np.array(self._weights[name])  # a copy: it is a view of a file that may not be written to
        tensor = (
            torch.from_numpy(stored.view(np.int16)).view(torch.bfloat16)
            if stored.dtype == np.uint16
            else torch.from_numpy(stored)
        )
        return tensor.to(self._device, dtype or self._dtype)


def rotation(sight: Sight, columns: int, device: torch.device) -> Tensor:
    """How fast each pair of a head's columns turns, fp32 [columns / 2] (arXiv 2104.09864, section 3.2.2)."""
    speeds = 1.0 / (sight.theta ** (torch.arange(0, columns, 2, dtype=torch.float32) / columns))
    return (speeds if sight.scaling is None else _stretched(speeds, sight.scaling)).to(device)


def _stretched(speeds: Tensor, scaling: Scaling) -> Tensor:
    """As Llama 3.1 does it: slow pairs turn slower by the factor, fast ones as before, with a passage in between."""
    waves = 2 * math.pi / speeds
    share = ((scaling.positions / waves - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return (1 - share) * speeds / scaling.factor + share * speeds


def _angles(positions: Tensor, speeds: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = positions.float()[:, None, None] * speeds
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Heads [tokens, heads, columns], turned by their positions; a pair is a column and that half a head further."""
    cos, sin = turn
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
