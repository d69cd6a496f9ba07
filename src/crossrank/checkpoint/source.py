"""Where a model's files are: bundled, in a local folder, or on the Hugging Face hub (fetched when needed).

It knows names and folders; not what is inside the files.
"""

from dataclasses import dataclass
from pathlib import Path

from crossrank.checkpoint.catalogue import MINI
from crossrank.checkpoint.hub import fetched
from crossrank.errors import ModelNotFoundError, UnsupportedModelError, UsageError

BUNDLED = MINI.name
REMOTE_PREFIXES = ("http://", "https://", "cohere:", "voyage:", "jina:")


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that holds a model's files, and the name and revision it was asked for by."""

    name: str
    folder: Path
    revision: str | None = None


def locate(spec: str | None, *, revision: str | None = None, onnx: bool = False) -> Source:
    """The folder of the model that `spec` names; downloads from the hub what its cache lacks.

    ONNX files come where there is no safetensors file, or with `onnx`.

    Raises:
        ModelNotFoundError: no such folder, repository or revision.
        HubError: the hub cannot be reached and the cache does not hold the model, or the disk refuses.
    """
    if spec is None or spec == BUNDLED:
        if revision is not None:
            raise UsageError(f"revision={revision!r} is for models of the hub; {BUNDLED!r} comes with crossrank")
        return Source(BUNDLED, bundled_folder())
    if not isinstance(spec, str) or not spec.strip():
        raise UsageError(f"model must be a name or a folder, not {spec!r}. Leave it out for the bundled model.")
    if spec.startswith(REMOTE_PREFIXES):
        raise UnsupportedModelError(
            f"{spec!r} names a remote reranker, which has no files here: open it with Reranker({spec!r}). "
            "Where a checkpoint is needed, give a folder or a name of the Hugging Face hub."
        )
    try:
        folder = Path(spec).expanduser()
        is_folder, exists = folder.is_dir(), folder.exists()
    except (OSError, RuntimeError) as exc:  # a name too long, a folder that may not be entered, no such user's home
        raise ModelNotFoundError(
            f"{spec[:100]!r} cannot be a model's folder or name: {getattr(exc, 'strerror', exc)}"
        ) from exc
    if is_folder:
        if revision is not None:
            raise UsageError(f"revision={revision!r} is for models of the hub; {spec!r} is a folder on this machine")
        return Source(spec, folder.resolve())
    if exists or folder.is_absolute() or spec.startswith((".", "~")):
        problem = "is a file, not a folder" if exists else "does not exist"
        raise ModelNotFoundError(
            f"The model folder {spec!r} {problem}. Give the folder that holds config.json, tokenizer.json and "
            "model.safetensors, or a name of the Hugging Face hub."
        )
    return Source(spec, fetched(spec, revision, onnx=onnx), revision)


def bundled_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(__file__).resolve().parent.parent / "models" / BUNDLED
