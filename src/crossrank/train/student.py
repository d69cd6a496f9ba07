"""The model that is trained: opened from its base, and written as a folder that everyone can load.

Knows checkpoints and torch; not data or losses.
"""

import json
from pathlib import Path
from typing import Any

from crossrank.errors import CheckpointError, NotFiniteError, UnsupportedModelError
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device
from crossrank.train.options import ModelConfig
from crossrank.train.store import resumable
from crossrank.writing import whole_folder

ACTIVATION = "torch.nn.modules.activation.Sigmoid"
OF_TRAINING = (  # keys that transformers adds to tokenizer_config.json for the state it happens to be in
    "max_length",
    "stride",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "truncation_strategy",
    "backend",
    "is_local",
    "local_files_only",
)


def open_student(folder: Path, whole: TrainConfig, device: Device) -> Any:
    """A sentence_transformers.CrossEncoder with one label; what the base lacks (its head) is drawn from the seed.

    Dropout is set in the modules, not in the model's config, so that it is written as it was.

    Raises:
        UnsupportedModelError: transformers cannot make a classifier from the base.
        CheckpointError: the base's files are broken.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import set_seed
    from transformers.utils import logging

    config = whole.model
    set_seed(whole.run.seed)
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # that a new head is new needs no warning
    logging.disable_progress_bar()
    try:
        student = CrossEncoder(
            str(folder),
            num_labels=1,
            max_length=config.max_length,
            device=device.name,
            local_files_only=True,
            model_kwargs={"attn_implementation": device.attention, "dtype": torch.float32},
        )
    except (ValueError, KeyError) as exc:
        raise UnsupportedModelError(f"{config.base!r} cannot be the base of a reranker: {exc}") from exc
    except (OSError, RuntimeError) as exc:
        raise CheckpointError(f"The base {config.base!r} cannot be read: {exc}") from exc
    finally:
        logging.set_verbosity(level)
    longest = getattr(student.model.config, "max_position_embeddings", config.max_length)
    if config.max_length > longest:
        raise UnsupportedModelError(
            f"model.max_length is {config.max_length}, but {config.base!r} reads {longest} at most."
        )
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = whole.train.dropout
    if whole.train.compile:
        student.model.compile(dynamic=True)  # lengths differ from step to step
    return student


def write_model(student: Any, weights: dict[str, Any], config: ModelConfig, card: str, folder: Path) -> None:
    """Write config.json, model.safetensors, the tokenizer and the card, whole or not at all.

    Args:
        student: the CrossEncoder, for its architecture and tokenizer.
        weights: fp32 tensors by transformers' names.
        config: name, precision and what the model claims to read.
        card: README.md's text.
        folder: replaced if it is there.
    """
    import torch
    from safetensors.torch import save_file
    from sentence_transformers import __version__

    dtype = torch.float16 if config.precision == "fp16" else torch.float32
    inner = student.model
    with resumable(folder), whole_folder(folder) as partial:
        student.tokenizer.save_pretrained(partial)
        inner.config.save_pretrained(partial)
        tensors = {name: _cast(tensor, dtype, name) for name, tensor in weights.items()}
        save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
        (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)  # safetensors writes 0600
        settings = json.loads((partial / "config.json").read_text(encoding="utf-8"))
        settings.pop("use_cache", None)  # the trainer's own business
        settings["architectures"] = [type(inner).__name__]
        settings["dtype"] = str(dtype).removeprefix("torch.")
        settings["sentence_transformers"] = {"activation_fn": ACTIVATION, "version": __version__}
        _write_json(partial / "config.json", settings)
        reads = config.reads or settings.get("max_position_embeddings", config.max_length)
        _clean_tokenizer(partial, reads)
        (partial / "README.md").write_text(card, encoding="utf-8")


def _cast(tensor: Any, dtype: Any, name: str) -> Any:
    cast = tensor.to(dtype).contiguous()
    if not cast.isfinite().all():
        raise NotFiniteError(
            f"The weight {name} reaches {float(tensor.abs().max()):g}, which is no number in {dtype}. Give "
            "model.precision = 'fp32' and another --output; the checkpoints are good."
        )
    return cast


def _clean_tokenizer(folder: Path, reads: int) -> None:
    """Take out training's own cut and padding, which whoever loads the file would repeat."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key in OF_TRAINING:
        settings.pop(key, None)
    settings["model_max_length"] = reads
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
