"""The checkpoints of a run, and the mean of their weights. It knows folders and tensors."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crossrank.errors import CheckpointError


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints below a folder, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def scheduled(folders: list[Path], *, save_every: int, steps: int) -> list[Path]:
    """Those of an uninterrupted run; the one that a stop leaves between them is there to continue from, no more."""
    return [path for path in folders if (step := int(path.name.split("-")[1])) == steps or step % save_every == 0]


def averaged(folders: list[Path]) -> dict[str, Any]:
    """The mean of the weights of checkpoints, fp32 tensors by transformers' names (Izmailov et al. 2018)."""
    if not folders:
        raise CheckpointError("There is no checkpoint to take weights from.")
    from safetensors.torch import load_file

    return mean(load_file(folder / "model.safetensors") for folder in folders)


def mean(models: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the weights of models of one shape, fp32 tensors by name.

    Raises:
        CheckpointError: their tensors differ in name or shape.
    """
    import torch

    total: dict[str, Any] = {}
    count = 0
    for weights in models:
        shapes = {name: tensor.shape for name, tensor in weights.items()}
        if count and shapes != {name: tensor.shape for name, tensor in total.items()}:
            raise CheckpointError("The models whose weights are to be averaged are not of one architecture.")
        total = {name: total.get(name, 0) + tensor.to(torch.float64) for name, tensor in weights.items()}
        count += 1
    return {name: (tensor / count).to(torch.float32) for name, tensor in total.items()}
