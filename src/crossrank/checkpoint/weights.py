"""A checkpoint's tensors, under names that do not depend on the family: none missing, none unused, each of its shape.

It knows safetensors files; not what is computed with the tensors. Never a pickle.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.checkpoint.families import AnswerStep
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.settings import read_json
from crossrank.checkpoint.tensors import ANSWERS, tensor_table
from crossrank.errors import CheckpointError, WeightsError

Tensor = NDArray[Any]  # float32, float16, or uint16 that holds the bits of a bfloat16

DTYPES: Mapping[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
SINGLE = "model.safetensors"
BUFFERS = ("position_ids", "token_type_ids")  # saved by older transformers; constants, no weights
POOLER = ("pooler.dense.weight", "pooler.dense.bias")  # of a body whose modules pool by themselves: not read
NAMED_MAX = 12  # tensors that an error lists


def load_weights(folder: Path, profile: ModelProfile) -> dict[str, Tensor]:
    """The tensors by canonical name (see `tensor_table`), as views of the memory-mapped files.

    Raises:
        CheckpointError: no safetensors file, or a corrupt one.
        WeightsError: tensors missing, unused, of another shape or of a type that is no float.
    """
    stored: dict[str, Tensor] = {}
    for prefix, file in _files(folder, profile):
        for inside, tensor in _tensors(file):
            name = prefix + _modern(inside)
            if name in stored:
                raise WeightsError(
                    f"{file} holds {inside} a second time, so nobody can tell which is meant. Save it again."
                )
            stored[name] = tensor
    table = tensor_table(profile)
    known = {entry.source for entry in table}
    missing = [entry.source for entry in table if entry.source not in stored]
    unused = [
        name
        for name in sorted(set(stored) - known)
        if name.rsplit(".", 1)[-1] not in BUFFERS and not name.startswith(profile.unread)
    ]
    if profile.modular:
        unused = [name for name in unused if name not in POOLER]
    if missing or unused:
        head = [name for name in missing if name.startswith(tuple(s.source for s in profile.head if s.source))]
        raise WeightsError(
            f"The weights of {profile.name!r} do not fit a {profile.architecture}: "
            f"missing {_list(missing)}; unused {_list(unused)}. "
            + ("Without its head the model would give random scores. " if head else "")
            + "Use a checkpoint that was trained and saved as a reranker."
        )
    wrong = [
        f"{source} is {list(stored[source].shape)}, expected {list(shape)}"
        for source, _, shape in table
        if stored[source].shape != shape
    ]
    if wrong:
        raise WeightsError(f"The weights of {profile.name!r} contradict its config.json: {_list(wrong)}.")
    weights = {
        canonical: part
        for source, canonicals, _ in table
        for canonical, part in zip(canonicals, np.split(stored[source], len(canonicals)), strict=True)
    }
    if profile.answers is not None:
        weights["head.0.weight"] = _answer(weights.pop(ANSWERS, weights["embeddings.word"]), profile.answers)
    return weights


def _answer(rows: Tensor, step: AnswerStep) -> Tensor:
    """The row of one answer less that of the other, fp32 [1, columns]: all that is left of a language model's head."""
    assert step.yes >= 0, "bug: the tokenizer was not asked for the answers' ids"
    yes = as_fp32(rows[step.yes])
    return (yes if step.no is None else yes - as_fp32(rows[step.no]))[None]


def as_fp32(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a tensor as it is stored."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32)


def _files(folder: Path, profile: ModelProfile) -> list[tuple[str, Path]]:
    """Each file with what its tensors' names are preceded by: those of a module stand in its folder."""
    modules = dict.fromkeys(step.source.split("/")[0] for step in profile.head) if profile.modular else {}
    if absent := [f"{module}/{SINGLE}" for module in modules if not (folder / module / SINGLE).is_file()]:
        raise CheckpointError(f"{folder} lacks the weight files {', '.join(absent)}. Download the model again.")
    return [("", file) for file in _body(folder)] + [(f"{module}/", folder / module / SINGLE) for module in modules]


def _body(folder: Path) -> list[Path]:
    if (single := folder / SINGLE).is_file():
        return [single]
    if (index := folder / "model.safetensors.index.json").is_file():
        content = read_json(index)
        shards = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise CheckpointError(f"{index} does not say which file holds which weight. Download the model again.")
        paths = [folder / Path(shard).name for shard in sorted(set(shards.values()))]
        if absent := [path.name for path in paths if not path.is_file()]:
            raise CheckpointError(f"{folder} lacks the weight files {', '.join(absent)}. Download the model again.")
        return paths
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder} has its weights only as {', '.join(pickles)}, a pickle that can run code when loaded. "
            "`crossrank convert` turns pytorch_model.bin into model.safetensors without running any; of other files, "
            "transformers' model.save_pretrained(folder) makes one."
        )
    raise CheckpointError(f"{folder} has no model.safetensors. Download or export the model again.")


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, as views of a read-only map. The library only checks it: numpy lacks bfloat16."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass  # raises unless the header is sound and covers the file exactly
        content = np.memmap(file, dtype=np.uint8, mode="r")
    except (SafetensorError, OSError, ValueError) as exc:
        raise CheckpointError(
            f"{file} is corrupt or cannot be read: {exc}. Download or export the model again."
        ) from exc
    header_size = int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8 : 8 + header_size].tobytes())
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + header_size + offset for offset in entry["data_offsets"])
        if entry["dtype"] in DTYPES:
            yield (
                name,
                np.require(content[start:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"]), requirements="A"),
            )
        elif name.rsplit(".", 1)[-1] not in BUFFERS:
            raise WeightsError(
                f"{file} holds {name} as {entry['dtype']}; weights must be {', '.join(DTYPES)}. "
                "Quantised weights of other tools cannot be read; use the original checkpoint."
            )


def _modern(name: str) -> str:
    """The name as transformers writes it today; checkpoints from TensorFlow call LayerNorm's gamma and beta."""
    return (
        name.removesuffix("gamma") + "weight"
        if name.endswith(".gamma")
        else (name.removesuffix("beta") + "bias" if name.endswith(".beta") else name)
    )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return (", ".join(names[:NAMED_MAX]) + more) or "none"
