"""BERT in torch.compile on packed sequences: no padding anywhere but inside attention, oneDNN weights packed once."""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")

import numpy as np
import torch
from runners.batches import Tokens, sorted_within
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


class Layer(nn.Module):
    """A post-norm block; attention sees the tokens padded, everything else sees them packed."""

    def __init__(self, weights: dict[str, Tensor], prefix: str, heads: int, eps: float) -> None:
        super().__init__()
        parts = [f"{prefix}attention.self.{part}." for part in ("query", "key", "value")]
        self.qkv = _linear({kind: torch.cat([weights[part + kind] for part in parts]) for kind in ("weight", "bias")})
        self.out, self.up, self.down = (
            _linear({kind: weights[f"{prefix}{part}.{kind}"] for kind in ("weight", "bias")})
            for part in ("attention.output.dense", "intermediate.dense", "output.dense")
        )
        self.norms = nn.ModuleList(
            _norm(weights, f"{prefix}{part}.LayerNorm.", eps) for part in ("attention.output", "output")
        )
        self.heads = heads

    def forward(self, x: Tensor, place: Tensor, mask: Tensor) -> Tensor:
        """Packed tokens [tokens, hidden]; `place` is where each stands in the padded batch that `mask` describes."""
        rows, longest = mask.shape[0], mask.shape[-1]
        qkv = self.qkv(x)
        wide = qkv.new_zeros(rows * longest, qkv.shape[-1]).index_copy(0, place, qkv)
        q, k, v = wide.view(rows, longest, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        packed = attended.transpose(1, 2).reshape(rows * longest, -1).index_select(0, place)
        x = self.norms[0](x + self.out(packed))
        return self.norms[1](x + self.down(functional.gelu(self.up(x))))


class Bert(nn.Module):
    """Embeddings, blocks, pooler and head."""

    def __init__(self, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
        super().__init__()
        embeddings, eps = "bert.embeddings.", config["layer_norm_eps"]
        self.tables = nn.ModuleList(
            nn.Embedding.from_pretrained(weights[f"{embeddings}{part}_embeddings.weight"])
            for part in ("word", "position", "token_type")
        )
        self.norm = _norm(weights, f"{embeddings}LayerNorm.", eps)
        self.layers = nn.ModuleList(
            Layer(weights, f"bert.encoder.layer.{i}.", config["num_attention_heads"], eps)
            for i in range(config["num_hidden_layers"])
        )
        self.pooler, self.head = (
            _linear({kind: weights[f"{part}.{kind}"] for kind in ("weight", "bias")})
            for part in ("bert.pooler.dense", "classifier")
        )

    def forward(
        self, ids: Tensor, positions: Tensor, types: Tensor, place: Tensor, mask: Tensor, first: Tensor
    ) -> Tensor:
        """Logits [rows] of packed ids."""
        x = self.norm(self.tables[0](ids) + self.tables[1](positions) + self.tables[2](types))
        for layer in self.layers:
            x = layer(x, place, mask)
        return self.head(torch.tanh(self.pooler(x.index_select(0, first))))[:, 0]


class Runner:
    """The compiled model; tuned over the tokens of a batch."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        folder = Path(options["model"])
        config = json.loads((folder / "config.json").read_text())
        weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
        self._dtype = getattr(torch, options["dtype"])
        self._model = Bert(config, weights).to(self._dtype).eval().requires_grad_(requires_grad=False)
        self._compiled = torch.compile(self._model, dynamic=True)
        self._tokens = Tokens(options["model"])
        self.settings = options["token_budgets"]
        self._budget = self.settings[-1]
        self.precision = {"float32": "fp32", "bfloat16": "bf16"}[options["dtype"]]
        self.detail = f"torch {torch.__version__}"

    def use(self, setting: int) -> None:
        """Take a number of tokens."""
        self._budget = setting

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        rows = self._tokens.rows(pairs)
        logits = np.empty(len(rows), np.float32)
        with torch.no_grad():
            for chosen in sorted_within(rows, self._budget):
                logits[chosen] = self._compiled(*self._packed([rows[i] for i in chosen])).float().numpy()
        return logits

    def _packed(self, rows: list[Any]) -> tuple[Tensor, ...]:
        lengths = np.array([len(row.ids) for row in rows])
        longest, ends = int(lengths.max()), np.cumsum(lengths)
        first = ends - lengths
        positions = np.arange(ends[-1]) - np.repeat(first, lengths)
        place = positions + np.repeat(np.arange(len(rows)) * longest, lengths)
        mask = torch.zeros(len(rows), 1, 1, longest, dtype=self._dtype)
        mask.masked_fill_(torch.from_numpy(np.arange(longest) >= lengths[:, None])[:, None, None], float("-inf"))
        ids, types = (np.concatenate([getattr(row, name) for row in rows]) for name in ("ids", "type_ids"))
        tensors = [torch.from_numpy(np.ascontiguousarray(a, np.int64)) for a in (ids, positions, types, place)]
        return (*tensors, mask, torch.from_numpy(first))


def _linear(weights: dict[str, Tensor]) -> nn.Linear:
    layer = nn.Linear(*reversed(weights["weight"].shape))
    layer.load_state_dict(weights)
    return layer


def _norm(weights: dict[str, Tensor], prefix: str, eps: float) -> nn.LayerNorm:
    norm = nn.LayerNorm(weights[f"{prefix}weight"].shape[0], eps)
    norm.load_state_dict({kind: weights[prefix + kind] for kind in ("weight", "bias")})
    return norm
