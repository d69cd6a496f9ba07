"""The tensors in torch's older weight files, which are pickles: read by a reader that runs no code, or not at all.

It knows torch's files; not models or where their weights go.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from crossrank.checkpoint.settings import read_object
from crossrank.errors import CheckpointError, MissingExtra, UnsupportedModelError, WeightsError

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SOUND = (2, 6)  # before, the reader could be made to run code (CVE-2025-32434)
UNPICKLER = "WeightsUnpickler error: "
CODE = re.compile(r"(?:GLOBAL|class|function|global)\W+([A-Za-z_][\w.]*\.[\w.]+)")


def pickled(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder; none where it has no such.

    Raises:
        CheckpointError: the index is broken, or names files that are not there.
    """
    if (file := folder / SINGLE).is_file():
        return [file]
    if not (index := folder / INDEX).is_file():
        return []
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise CheckpointError(f"{index} does not say which file holds which weight. Download the model again.")
    files = [folder / Path(shard).name for shard in sorted(set(shards.values()))]
    if absent := [file.name for file in files if not file.is_file()]:
        raise CheckpointError(f"{folder} lacks the weight files {', '.join(absent)}. Download the model again.")
    return files


def read_tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """All tensors by name, each with memory of its own; fp64 becomes fp32, which is what models compute in.

    Raises:
        UnsupportedModelError: a file holds something else, which only its own code could read.
        CheckpointError: a file is corrupt.
        WeightsError: a name comes twice, or a tensor is of a kind that safetensors has not.
    """
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < SOUND:
        raise MissingExtra(
            f"torch {torch.__version__} can be made to run code by such files. Run: pip install --upgrade torch"
        )
    tensors: dict[str, Tensor] = {}
    memory: set[int] = set()
    for file in files:
        for name, tensor in _load(file).items():
            if name in tensors:
                raise WeightsError(f"{file} holds {name} a second time, so nobody can tell which is meant.")
            tensors[name] = _alone(_plain(file, name, tensor), memory)
    if not tensors:
        raise CheckpointError("There are no weights in " + ", ".join(file.name for file in files))
    return tensors


def _load(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as exc:  # torch raises what its many readers raise
        said = str(exc)
        needs = CODE.search(said)
        script = "TorchScript" in said
        if isinstance(exc, pickle.UnpicklingError | RuntimeError) and (needs or script):
            what = "TorchScript, which is code" if needs is None else f"an object of {needs[1]}"
            raise UnsupportedModelError(
                f"{file} holds {what}: it could not be read without running code from the file, which is never done. "
                "Ask whoever published it for model.safetensors, or a file of tensors only."
            ) from exc
        reason = next(iter(said.rpartition(UNPICKLER)[2].splitlines()), "") or type(exc).__name__
        raise CheckpointError(
            f"{file} is corrupt or no file of weights: {reason[:200].rstrip('.')}. Download it again."
        ) from exc
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UnsupportedModelError(f"{file} holds a {type(content).__name__}, not tensors by name.")
    other = [f"{name} ({type(value).__name__})" for name, value in content.items() if not isinstance(value, Tensor)]
    if other:
        raise UnsupportedModelError(
            f"{file} holds {', '.join(other[:6])} beside or in place of tensors by name: it is a training state or "
            "another tool's file. Give what model.save_pretrained wrote."
        )
    return content


def _plain(file: Path, name: str, tensor: Tensor) -> Tensor:
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex() or tensor.device.type != "cpu":
        raise WeightsError(f"{file} holds {name} as {tensor.dtype}, {tensor.layout}; weights must be plain floats.")
    return (tensor.float() if tensor.dtype == torch.float64 else tensor).detach()


def _alone(tensor: Tensor, memory: set[int]) -> Tensor:
    """The tensor, copied where others share its memory: safetensors has each once, and tied ones would be missed."""
    storage = tensor.untyped_storage()
    whole = tensor.is_contiguous() and storage.nbytes() == tensor.numel() * tensor.element_size()
    if whole and storage.data_ptr() not in memory:
        memory.add(storage.data_ptr())
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)
