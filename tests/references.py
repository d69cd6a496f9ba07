"""Small plain implementations of models whose code comes with their checkpoints, written from the public text of it.

One row at a time, in fp32, from config.json and the tensors as they are named in the checkpoint. Sources:
JinaBERT: text-embeddings-inference, backends/candle/src/models/jina.rs and backends/candle/src/alibi.rs, and for the
head BertForSequenceClassification of transformers, from which JinaBertForSequenceClassification derives.
XLM-R of flash-attention: convert_roberta_weights_to_flash.py of jinaai/xlm-roberta-flash-implementation, which says
which tensor of transformers' XLM-R each one is.
MiniCPM, layer by layer: modeling_minicpm_reranker.py of FlagEmbedding.
"""

import json
import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as nn


def jina_bert(folder: Path, ids: list[int]) -> float:
    """The logit of a row, by JinaBERT with GEGLU and linear biases."""
    config, t = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    heads, eps, length = config["num_attention_heads"], config["layer_norm_eps"], len(ids)

    def norm(x: Tensor, name: str) -> Tensor:
        return nn.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"], eps)

    def dense(x: Tensor, name: str) -> Tensor:
        return nn.linear(x, t[f"{name}.weight"], t.get(f"{name}.bias"))

    x = t["bert.embeddings.word_embeddings.weight"][ids] + t["bert.embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "bert.embeddings.LayerNorm")
    where = torch.arange(length)
    bias = -torch.tensor(head_slopes(heads))[:, None, None] * (where[None, :] - where[:, None]).abs()
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
        q, k, v = (
            dense(x, f"{layer}.attention.self.{part}").view(length, heads, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        shares = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + bias, -1)
        attended = (shares @ v).transpose(0, 1).reshape(length, -1)
        x = norm(dense(attended, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        wide = dense(x, f"{layer}.mlp.gated_layers")
        inner = config["intermediate_size"]
        activation = {"geglu": nn.gelu, "reglu": nn.relu}[config["feed_forward_type"]]
        x = norm(dense(activation(wide[:, :inner]) * wide[:, inner:], f"{layer}.mlp.wo") + x, f"{layer}.mlp.layernorm")
    return float(dense(torch.tanh(dense(x[0], "bert.pooler.dense")), "classifier"))


def head_slopes(heads: int) -> list[float]:
    """Of linear biases, as alibi.rs builds them."""

    def of_a_power(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return of_a_power(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return of_a_power(closest) + of_a_power(2 * closest)[0::2][: heads - closest]


def as_plain_xlm_roberta(folder: Path, plain: Path) -> Path:
    """A checkpoint of XLM-R in flash-attention's names, as transformers has it: its conversion, backwards."""
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        name = name.replace("roberta.encoder.layers.", "roberta.encoder.layer.")  # noqa: PLW2901
        for flash, usual in (
            (r"\.emb_ln\.", ".embeddings.LayerNorm."),
            (r"\.norm1\.", ".attention.output.LayerNorm."),
            (r"\.norm2\.", ".output.LayerNorm."),
            (r"\.mlp\.fc1\.", ".intermediate.dense."),
            (r"\.mlp\.fc2\.", ".output.dense."),
            (r"\.mixer\.out_proj\.", ".attention.output.dense."),
        ):
            name = re.sub(flash, usual, name)  # noqa: PLW2901
        if ".mixer.Wqkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                tensors[name.replace(".mixer.Wqkv.", f".attention.self.{part}.")] = third.clone()
        else:
            tensors[name] = tensor
    plain.mkdir()
    from safetensors.torch import save_file

    save_file(tensors, plain / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (plain / "config.json").write_text(json.dumps(config))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (plain / file).write_text((folder / file).read_text())
    return plain


def minicpm_layerwise(folder: Path, ids: list[int], layer: int) -> float:
    """The logit of a row after a layer, by MiniCPM with a head of one output for each layer."""
    config, t = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    heads, groups = config["num_attention_heads"], config["num_attention_heads"] // config["num_key_value_heads"]
    columns, length = config["hidden_size"] // heads, len(ids)
    scale = config["scale_depth"] / math.sqrt(config["num_hidden_layers"])

    def norm(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]) * t[f"{name}.weight"]

    def dense(x: Tensor, name: str) -> Tensor:
        return nn.linear(x, t[f"{name}.weight"])

    speeds = 1.0 / (config["rope_theta"] ** (torch.arange(0, columns, 2).float() / columns))
    angles = torch.outer(torch.arange(length).float(), speeds)
    angles = torch.cat([angles, angles], -1)

    def rotated(x: Tensor) -> Tensor:
        left, right = x[..., : columns // 2], x[..., columns // 2 :]
        return x * angles.cos() + torch.cat([-right, left], -1) * angles.sin()

    seen = torch.ones(length, length, dtype=torch.bool).tril()
    x = t["model.embed_tokens.weight"][ids] * config["scale_emb"]
    for i in range(layer):
        name = f"model.layers.{i}"
        read = norm(x, f"{name}.input_layernorm")
        q, k, v = (
            dense(read, f"{name}.self_attn.{part}_proj").view(length, -1, columns).transpose(0, 1) for part in "qkv"
        )
        q, k, v = rotated(q), rotated(k).repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        scores = (q @ k.transpose(1, 2) / math.sqrt(columns)).masked_fill(~seen, float("-inf"))
        attended = (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(length, -1)
        x = x + dense(attended, f"{name}.self_attn.o_proj") * scale
        read = norm(x, f"{name}.post_attention_layernorm")
        wide = nn.silu(dense(read, f"{name}.mlp.gate_proj")) * dense(read, f"{name}.mlp.up_proj")
        x = x + dense(wide, f"{name}.mlp.down_proj") * scale
    last = norm(x, "model.norm")[-1]
    return float(nn.linear(last, t[f"lm_head.{layer - config['start_layer']}.linear_head.weight"]))
