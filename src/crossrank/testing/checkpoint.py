"""Tiny random checkpoints, written as their authors' tools would."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tensors import tensor_table
from crossrank.testing.tokenizers import CLASSES, special_names, tokenizer_of

# What tells checkpoints whose code would come with them, as it stands in their config.json.
MINICPM = {
    "model_type": "minicpm",
    "auto_map": {"AutoModelForCausalLM": "modeling_minicpm_reranker.LayerWiseMiniCPMForCausalLM"},
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 256,
    "start_layer": 1,
    "head_type": "simple",
    "head_multi": True,
}
FLASH = {
    "model_type": "xlm-roberta",
    "auto_map": {
        "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
        "AutoModelForSequenceClassification": "modeling_xlm_roberta.XLMRobertaForSequenceClassification",
    },
    "use_flash_attn": True,
}


def tiny_checkpoint(
    folder: Path,
    family: str = "bert",
    *,
    hidden: int = 24,
    heads: int = 2,
    layers: int = 2,
    max_length: int = 64,
    seed: int = 0,
    dtype: str = "F32",
    template: str | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write a random reranker of a family into `folder`, as its authors' tools would store it, and return the folder.

    Args:
        folder: made if it does not exist.
        family: any of `crossrank.checkpoint.families.FAMILIES`.
        hidden: width; ELECTRA's embeddings are narrower, so that it has a projection.
        heads: attention heads; must divide `hidden`.
        layers: transformer layers.
        max_length: tokens the model can read.
        seed: of the random weights; equal seeds give equal files.
        dtype: of the stored weights: F32, F16 or BF16.
        template: makes a language model that is asked by this prompt, as its authors store it: nothing tells its name.
        config: entries that replace those of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(family)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = special_names(family)
    classes = {
        "tokenizer_class": CLASSES.get(family, "PreTrainedTokenizerFast"),
        "model_max_length": max_length,
        **names,
    }
    if family == "deberta-v2":
        classes["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    _write_json(folder / "tokenizer_config.json", classes)
    known = FAMILIES[family]
    settings = {
        "architectures": [known.language_model if template and known.language_model else known.architecture],
        "model_type": family,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": 2 * hidden,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": max_length,
        "pad_token_id": tokenizer.token_to_id(names["pad_token"]),
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        **_own_settings(family, hidden=hidden, max_length=max_length),
    }
    _write_json(folder / "config.json", {**settings, **(config or {})})
    rng = np.random.default_rng(seed)
    exits = read_profile(folder, family, template=template).exits
    stops = [read_profile(folder, family, template=template, layer=layer) for layer in exits or (None,)]
    shapes = {entry.source: entry.shape for profile in reversed(stops) for entry in tensor_table(profile)}
    weights = {source: _random(rng, source, shape) for source, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", weights, dtype)
    return folder


def _own_settings(family: str, *, hidden: int, max_length: int) -> dict[str, Any]:
    """What config.json holds beside what it does for every family."""
    match FAMILIES[family].tensors:
        case "modernbert":  # as on the hub; transformers 5 writes other keys
            return {
                "hidden_activation": "gelu",
                "norm_eps": 1e-5,
                "local_attention": 16,
                "global_attn_every_n_layers": 3,
                "global_rope_theta": 160000.0,
                "local_rope_theta": 10000.0,
                "classifier_pooling": "mean",
            }
        case "deberta":  # as DeBERTa v3
            return {
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-7,
                "type_vocab_size": 0,
                "relative_attention": True,
                "max_relative_positions": -1,
                "position_buckets": 8,
                "norm_rel_ebd": "layer_norm",
                "share_att_key": True,
                "pos_att_type": "p2c|c2p",
                "position_biased_input": False,
                "pooler_hidden_act": "gelu",
                "pooler_hidden_size": hidden,
            }
        case "decoder":
            return {
                "num_key_value_heads": 1,
                "hidden_act": "gelu" if family == "gemma" else "silu",
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                **({"head_dim": 16} if family not in ("qwen2", "minicpm-layerwise") else {}),  # wider than a share
                **(MINICPM if family == "minicpm-layerwise" else {}),
            }
        case "jina-bert":
            return {
                "model_type": "bert",
                "auto_map": {"AutoModelForSequenceClassification": "modeling_bert.JinaBertForSequenceClassification"},
                "position_embedding_type": "alibi",
                "feed_forward_type": "geglu",
                "type_vocab_size": 2,
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-12,
            }
    past_padding = FAMILIES[family].positions_from_padding
    return {
        "max_position_embeddings": max_length + 2 * past_padding,
        "type_vocab_size": 1 if past_padding else 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5 if past_padding else 1e-12,
        **({"embedding_size": hidden // 2} if family == "electra" else {}),
        **(FLASH if family == "xlm-roberta-flash" else {}),
    }


def write_safetensors(file: Path, tensors: dict[str, NDArray[np.float32]], dtype: str = "F32") -> None:
    """Write tensors as F32, F16 or BF16; by hand, because numpy has no bfloat16 (the upper half of the fp32 bits)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.size * (4 if dtype == "F32" else 2)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with file.open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for tensor in tensors.values():
            if dtype == "BF16":
                stored = ((tensor.view(np.uint32) + 0x8000) >> 16).astype("<u2")
            else:
                stored = tensor.astype({"F32": "<f4", "F16": "<f2"}[dtype])
            stream.write(stored.tobytes())


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    # Keeps the scale of activations from layer to layer whatever the width, so that logits differ clearly between
    # pairs, and fp32 rounding stays far below that.
    deviation = 1.5 / shape[-1] ** 0.5 if len(shape) > 1 else 0.2
    values = rng.normal(0.0, deviation, shape).astype(np.float32)
    return values + np.float32(len(shape) == 1 and name.endswith(".weight"))  # of a norm


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
