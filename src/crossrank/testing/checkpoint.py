"""Tiny random checkpoints, written as their authors' tools would."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.made import config_of
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tensors import tensor_table
from crossrank.testing.tokenizers import CLASSES, special_names, tokenizer_of


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
    settings = config_of(
        family,
        hidden=hidden,
        heads=heads,
        layers=layers,
        intermediate=2 * hidden,
        vocabulary=tokenizer.get_vocab_size(),
        max_length=max_length,
        pad_id=tokenizer.token_to_id(names["pad_token"]),
    )
    if template and known.language_model:
        settings["architectures"] = [known.language_model]
    _write_json(folder / "config.json", {**settings, **(config or {})})
    rng = np.random.default_rng(seed)
    exits = read_profile(folder, family, template=template).exits
    stops = [read_profile(folder, family, template=template, layer=layer) for layer in exits or (None,)]
    shapes = {entry.source: entry.shape for profile in reversed(stops) for entry in tensor_table(profile)}
    weights = {source: _random(rng, source, shape) for source, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", weights, dtype)
    return folder


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
