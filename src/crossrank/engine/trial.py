"""A model of a given shape with random weights, on the real engine: for how long it takes, not for what it says.

It knows shapes; not which models have them, clocks or files that stay.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from crossrank.backends.contract import Backend
from crossrank.checkpoint.made import config_of
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.shapes import Shape
from crossrank.checkpoint.source import bundled_folder
from crossrank.checkpoint.tensors import tensor_table
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.checkpoint.weights import Tensor
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.open import open_backend
from crossrank.engine.options import OpenConfig
from crossrank.engine.scorer import Scorer

VOCABULARY = 30_522  # of the bundled model's tokenizer, which splits the texts
SPREAD = 0.02  # small enough that no layer overflows, whatever its width
FULL_SIZE = {  # what `config_of` makes small
    "modernbert": {"local_attention": 128},
    "deberta-v2": {"position_buckets": 256},
}


def open_trial(shape: Shape, config: OpenConfig, *, max_length: int = 512) -> Scorer:
    """A scorer of this shape, opened as `config` says; nothing of it is kept on disk.

    Texts are split by the bundled model's tokenizer, and pairs joined by its template.

    Raises:
        MissingExtra: the engine that runs the shape is not installed.
        UsageError: an option has a value that cannot be taken.
    """
    with TemporaryDirectory(prefix="crossrank-") as folder:
        profile = _profile(Path(folder), shape, max_length)
        backend: Backend = open_backend(config, profile, Path(folder), weights=_weights(profile))
    tokenizer = load_tokenizer(bundled_folder(), profile)
    encode = EncodeConfig(max_length=profile.max_length, long_documents="chunk")
    return Scorer(profile, Encoder(tokenizer, read_template(tokenizer, profile), encode), backend, None, b"")


def _profile(folder: Path, shape: Shape, max_length: int) -> ModelProfile:
    config = config_of(
        shape.family,
        hidden=shape.hidden,
        heads=shape.heads,
        layers=shape.layers,
        intermediate=shape.intermediate,
        vocabulary=VOCABULARY,
        max_length=max_length,
        pad_id=0,
    )
    config |= FULL_SIZE.get(shape.family, {})
    if "num_key_value_heads" in config:
        head_size = shape.head_size or shape.hidden // shape.heads
        config |= {"num_key_value_heads": shape.kv_heads or shape.heads, "head_dim": head_size}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return read_profile(folder, f"a model of the shape {shape}")


def _weights(profile: ModelProfile) -> dict[str, Tensor]:
    """Weights fp16 by canonical name: one stretch of random numbers over and over, as drawing all takes long."""
    stretch = np.random.default_rng(0).normal(0.0, SPREAD, 2**20 - 3).astype(np.float16)
    weights: dict[str, Tensor] = {}
    for _, canonicals, shape in tensor_table(profile):
        rows = np.resize(stretch, shape)
        if len(shape) == 1 and canonicals[0].endswith(".weight"):
            rows = rows + np.float16(1)  # of a norm
        weights.update(zip(canonicals, np.split(rows, len(canonicals)), strict=True))
    return weights
