"""Where a model's files are: bundled, a local folder, or the Hugging Face hub's cache (downloaded when needed).

It knows names, folders and the hub; not what is inside the files.
"""

import errno
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from http import HTTPStatus
from pathlib import Path

from crossrank.checkpoint.catalogue import CATALOGUE
from crossrank.errors import HubError, ModelError, ModelNotFoundError, UnsupportedModelError, UsageError

BUNDLED = "crossrank-mini"
WANTED = (  # nothing else is fetched: no pickles, no copies of the weights in other formats, no code
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "[0-9]*_*/config.json",  # the modules of sentence-transformers: 1_Pooling, 2_Dense
    "[0-9]*_*/model.safetensors",
)
ONNX_FIRST = ("model.onnx", "model.onnx_data", "model.onnx.data")  # what exporters call the model itself
ONNX_WANTED = ("*.onnx", "*.onnx_data", "*.onnx.data")  # where that is not there; all precisions
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
    return Source(spec, _download(spec, revision, onnx=onnx), revision)


def bundled_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(__file__).resolve().parent.parent / "models" / BUNDLED


def suggestion(spec: str) -> str:
    """A sentence that names close matches among the known models, or where to see them."""
    known = {name.lower(): name for name in (BUNDLED, *(model.name for model in CATALOGUE))}
    known |= {name.split("/")[-1]: full for name, full in list(known.items())}
    close = get_close_matches(spec.lower(), known, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(dict.fromkeys(repr(known[name]) for name in close)) + "?"
    return "`crossrank models list` shows models that are known to work."


def _download(spec: str, revision: str | None, *, onnx: bool) -> Path:
    from huggingface_hub import snapshot_download

    obstacle: Exception | None = None
    try:
        try:
            _ask_hub(spec, revision)
        except Exception as exc:  # noqa: BLE001 - httpx and json raise what is no OSError; the cache may do without the hub
            obstacle = exc
        fetch = partial(snapshot_download, spec, revision=revision, local_files_only=obstacle is not None)
        folder = Path(fetch(allow_patterns=list(WANTED)))
        if onnx or not any(folder.glob("*.safetensors")):  # large, so only where they are needed
            fetch(allow_patterns=[*ONNX_FIRST, *(f"onnx/{name}" for name in ONNX_FIRST)])
            if not any(folder.rglob("*.onnx")):
                fetch(allow_patterns=list(ONNX_WANTED))
    except Exception as exc:  # noqa: BLE001 - as above
        cause = obstacle or exc
        raise _translated(spec, revision, cause) from cause
    return folder


def _ask_hub(spec: str, revision: str | None) -> None:
    """Raise unless the hub answers for the model within HF_HUB_ETAG_TIMEOUT; do nothing where it need not be asked."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    cached = try_to_load_from_cache(spec, "config.json", revision=revision)
    pinned = isinstance(cached, str) and Path(cached).parent.name == revision
    if not pinned and not _is_offline():
        # NOTE: snapshot_download asks the same without any time limit, and would wait forever for a silent hub.
        HfApi().model_info(spec, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)


def _translated(spec: str, revision: str | None, exc: Exception) -> ModelError:
    from huggingface_hub import errors as hub

    if isinstance(exc, hub.HFValidationError):
        return ModelNotFoundError(
            f"{spec!r} is neither an existing folder nor a valid name of the Hugging Face hub ('owner/name'). "
            + suggestion(spec)
        )
    if isinstance(exc, hub.RevisionNotFoundError):
        return ModelNotFoundError(
            f"The model {spec!r} has no revision {revision!r} on the hub. "
            "Give a branch, tag or full commit hash of it, or leave revision out for its main branch."
        )
    if isinstance(exc, hub.GatedRepoError):
        return HubError(
            f"The model {spec!r} is gated: accept its terms on its page, then log in with `hf auth login` "
            "or set HF_TOKEN."
        )
    status = exc.response.status_code if isinstance(exc, hub.HfHubHTTPError) else None
    if isinstance(exc, hub.RepositoryNotFoundError) or status == HTTPStatus.UNAUTHORIZED:
        return ModelNotFoundError(
            f"The hub has no model {spec!r} (or it is private and needs a token: `hf auth login`, or HF_TOKEN). "
            + suggestion(spec)
        )
    if (trouble := _trouble(exc)) is not None:
        remedy = "Unset it" if _is_offline() else "Connect, or set HF_ENDPOINT to a mirror,"
        return HubError(
            f"The model {spec!r} is not in the local cache (or only in part), and {trouble}. {remedy} and try again: "
            "it is downloaded once. Or copy its folder from a machine that has it, and give the folder in place of the "
            f"name. {BUNDLED}, the bundled model, needs no network."
        )
    return HubError(f"The model {spec!r} could not be downloaded: {_reason(exc)}")


def _trouble(exc: Exception) -> str | None:
    """Why the hub gave nothing, or None when it did and something else failed."""
    from huggingface_hub import errors as hub

    if isinstance(exc, hub.LocalEntryNotFoundError) and _is_offline():
        return "the hub is not asked because HF_HUB_OFFLINE is set"
    if isinstance(exc, hub.LocalEntryNotFoundError) and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    # NOTE: by name, because huggingface-hub changed from httpx to httpx2; both call their errors the same.
    kinds = {kind.__name__ for kind in type(exc).__mro__}
    if isinstance(exc, hub.HfHubHTTPError):
        return f"the hub answers {exc.response.status_code}"
    if "TimeoutException" in kinds:
        return "the hub does not answer in time"
    unreachable = kinds & {"ConnectError", "LocalEntryNotFoundError"}
    return "the hub cannot be reached" if unreachable else None


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _reason(exc: Exception) -> str:
    code = getattr(exc, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free space, or set HF_HOME to a folder on a larger disk."
    if code in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT):
        return f"the cache folder cannot be written ({exc}). Set HF_HOME to a folder you can write to."
    first_line = (str(exc).strip() or type(exc).__name__).splitlines()[0]
    if isinstance(exc, ValueError | KeyError):
        return (
            f"what answers is no model hub ({first_line[:100]}). Check HF_ENDPOINT, the proxy and the network's login."
        )
    return f"{first_line[:300].rstrip('.')}. Try again; HF_ENDPOINT chooses another hub or mirror."
