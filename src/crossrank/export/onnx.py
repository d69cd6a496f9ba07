"""`export_onnx`: a model as model.onnx with what is needed to run it, refused where its scores are not the same.

It knows checkpoints, the engine and the parts of this package; no terminal.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from crossrank.backends.onnx import open_onnx
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.source import locate
from crossrank.checkpoint.tokenizer import load_tokenizer, with_answers
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.scorer import Scorer
from crossrank.errors import MissingExtra, UnsupportedModelError
from crossrank.export.folder import copy_settings, staged
from crossrank.export.parity import Parity, parity, refuse_unlike

FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the file, its opset and inputs, and how far its logits are from the model's."""

    file: Path
    opset: int
    inputs: tuple[str, ...]
    parity: Parity


def export_onnx(
    model: str | None, out: Path, *, revision: str | None = None, opset: int | None = None, force: bool = False
) -> Exported:
    """Write `out`/model.onnx with tokenizer and configuration, and compare its logits with crossrank's in fp32.

    Args:
        model: a folder or a name of the hub; None is the bundled model.
        out: a folder; made if it does not exist.
        revision: branch, tag or commit of a model on the hub.
        opset: of ONNX; by default one that most runtimes read.
        force: replace files of the same names in `out`.

    Raises:
        UsageError: `out` is in the way, or there is no such opset.
        MissingExtra: torch, transformers or what writes ONNX is not installed.
        ModelError: the model cannot be opened, or not exported.
        CrossrankError: the logits differ, or the disk is full. Nothing is left in `out` then.
    """
    source = locate(model, revision=revision)
    _check_exportable(read_profile(source.folder, source.name))
    reference = open_scorer(
        OpenConfig(model, revision=revision, device="cpu", precision="fp32", long_documents="truncate", cache=None)
    )
    try:
        from crossrank.export.graph import OPSET, write_graph
    except ImportError as exc:
        raise MissingExtra("torch is not installed. Run: pip install 'crossrank[export]'") from exc
    with staged(out, needs=_size(source.folder), force=force) as stage:
        inputs = write_graph(source.folder, reference.profile, stage / FILE, opset=opset or OPSET)
        copy_settings(source.folder, stage, reference.profile)
        measured = parity(reference, _reopened(stage, reference))
        refuse_unlike(source.name, measured)
    return Exported(out / FILE, opset or OPSET, inputs, measured)


def _check_exportable(profile: ModelProfile) -> None:
    """Raise for what transformers, which makes the graph, has no part of."""
    if profile.family.remote_code:
        because = "whose code comes with the checkpoint: transformers, which makes the graph, does not have it"
    elif profile.family.foreign and profile.answers is not None:
        because = "an encoder-decoder, whose graph would have two inputs of tokens"
    else:
        return
    raise UnsupportedModelError(
        f"{profile.name!r} is a {profile.architecture}, {because}. It cannot be exported. "
        f"The {'native and torch engines run' if profile.family.native else 'torch engine runs'} it as it is."
    )


def _reopened(folder: Path, like: Scorer) -> Scorer:
    """What was written, opened from its own files, which must say what the model's say."""
    # Under another name: what is known of the model's own goes with the name, not with the files.
    read = read_profile(folder, FILE)
    profile = replace(
        read,
        name=like.profile.name,
        foreign_because=like.profile.foreign_because,
        unverified=like.profile.unverified,
    )
    tokenizer = load_tokenizer(folder, profile)
    profile = with_answers(profile, tokenizer)
    if profile != like.profile or tokenizer.to_str() != like.encoder.tokenizer.to_str():
        raise UnsupportedModelError(
            f"{like.profile.name!r} has settings that are not in its files, and would be lost in an export."
        )
    return replace(like, backend=open_onnx(profile, folder, device="cpu"))


def _size(folder: Path) -> int:
    """Bytes of the stored weights; those of fp16 become twice as large, but no less is needed."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
