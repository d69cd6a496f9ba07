"""`convert`: a model whose weights are pickles, as safetensors, which hold no code. No pickle's code is ever run.

It knows folders and the parts of this package; no terminal.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.tokenizer import load_tokenizer, with_answers
from crossrank.checkpoint.weights import SINGLE, load_weights
from crossrank.errors import CheckpointError, MissingExtra, ModelNotFoundError, UsageError
from crossrank.export.folder import copy_settings, staged, unwritable

MODULES = "[0-9]*_*"  # folders of sentence-transformers' modules
FORMAT = {"format": "pt"}  # transformers asks for it


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: the folder, the files that were read, and how many tensors and bytes they hold."""

    folder: Path
    read: tuple[Path, ...]
    tensors: int
    bytes: int
    profile: ModelProfile


def convert(folder: Path, out: Path, *, template: str | None = None, force: bool = False) -> Converted:
    """Write the model in `folder` to `out` with its weights as model.safetensors, and check that it can be opened.

    Args:
        folder: with pytorch_model.bin, or its parts and their index.
        out: a folder; made if it does not exist.
        template: how a language model is asked, where its files do not tell.
        force: replace files of the same names in `out`.

    Raises:
        ModelNotFoundError: there is no such folder.
        UsageError: there is nothing to convert, or `out` is in the way.
        UnsupportedModelError: the weights cannot be read without running code, or it is no reranker.
        CheckpointError: a file is corrupt, or the weights do not fit config.json.
        CrossrankError: the disk is full. Nothing is left in `out` then.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file, save_file

        from crossrank.export.pickles import read_tensors
    except ImportError as exc:
        raise MissingExtra("torch is not installed. Run: pip install 'crossrank[torch]'") from exc
    places = _places(folder)
    read = [file for files in places.values() for file in files]
    tensors = size = 0
    with staged(out, needs=sum(file.stat().st_size for file in read), force=force) as stage:
        copy_settings(folder, stage)
        for place, files in places.items():
            weights = read_tensors(files)
            target = stage / place / SINGLE
            target.parent.mkdir(exist_ok=True)
            try:
                save_file(weights, target, FORMAT)
            except SafetensorError as exc:
                raise unwritable(out, exc) from exc
            _check_equal(weights, load_file(target))
            tensors, size = tensors + len(weights), size + target.stat().st_size
        profile = read_profile(stage, str(folder), template=template)
        if profile.answers is not None:
            profile = with_answers(profile, load_tokenizer(stage, profile))
        if not profile.family.foreign:
            load_weights(stage, profile)
    return Converted(out, tuple(read), tensors, size, profile)


def _places(folder: Path) -> dict[str, list[Path]]:
    """The pickles by the part of the model they are of; "" is the body."""
    from crossrank.export.pickles import pickled

    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise ModelNotFoundError(
            f"The model folder {str(folder)!r} {problem}. Give the folder that holds config.json and pytorch_model.bin."
        )
    if any(folder.glob("*.safetensors")):
        raise UsageError(f"{folder} has its weights as safetensors already; there is nothing to convert.")
    if not (body := pickled(folder)):
        raise UsageError(f"{folder} has neither pytorch_model.bin nor its index; nothing else is converted.")
    modules = sorted(path for path in folder.glob(MODULES) if path.is_dir())
    return {"": body, **{path.name: files for path in modules if (files := pickled(path))}}


def _check_equal(weights: dict[str, Any], written: dict[str, Any]) -> None:
    """What is on the disk is what was read, bit by bit."""
    assert weights.keys() == written.keys(), "bug: tensors were lost"
    wrong = [name for name, tensor in weights.items() if not _same(tensor, written[name])]
    if wrong:
        raise CheckpointError(
            f"The disk gives back other weights than were written: {', '.join(wrong[:6])}. Try again."
        )


def _same(one: Any, other: Any) -> bool:
    import torch

    same = one.dtype == other.dtype and one.shape == other.shape
    return bool(same and torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)))
