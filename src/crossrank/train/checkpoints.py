"""The checkpoints of a run, and the mean of their weights. It knows folders and tensors."""

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
    import torch
    from safetensors.torch import load_file

    total: dict[str, Any] = {}
    for folder in folders:
        for name, tensor in load_file(folder / "model.safetensors").items():
            total[name] = total.get(name, 0) + tensor.to(torch.float64)
    return {name: (tensor / len(folders)).to(torch.float32) for name, tensor in total.items()}
