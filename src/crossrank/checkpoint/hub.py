"""The Hugging Face hub and its cache: files of a model fetched, found, removed; errors told in our words.

It knows the hub; not what is inside the files, and of models of other places nothing.
"""

import errno
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from crossrank.checkpoint.catalogue import MINI, suggestion
from crossrank.checkpoint.files import ONNX_FIRST, ONNX_WANTED, WANTED
from crossrank.errors import HubError, ModelError, ModelNotFoundError
from crossrank.writing import refused


@dataclass(frozen=True, slots=True)
class Cached:
    """A model in the hub's cache.

    Attributes:
        folder: of all its revisions.
        bytes: on the disk.
        here: whether its weights came; of a download that was broken off, they may not have.
    """

    folder: Path
    bytes: int
    here: bool


def fetched(spec: str, revision: str | None, *, onnx: bool) -> Path:
    """The folder of a model's files, after those that the cache lacks were downloaded.

    Raises:
        ModelNotFoundError: no such repository or revision.
        HubError: the hub cannot be reached and the cache does not hold the model, or the disk refuses.
    """
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
            fetch(allow_patterns=list(ONNX_FIRST))
            if not any(folder.rglob("*.onnx")):
                fetch(allow_patterns=list(ONNX_WANTED))
    except Exception as exc:  # noqa: BLE001 - as above
        cause = obstacle or exc
        raise _translated(spec, revision, cause) from cause
    return folder


def cached() -> dict[str, Cached]:
    """Models of the hub's cache by name; empty when there is no cache yet."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repos = [repo for repo in scan_cache_dir().repos if repo.repo_type == "model"]
    except CacheNotFound:
        return {}
    return {repo.repo_id: Cached(repo.repo_path, repo.size_on_disk, _has_weights(repo)) for repo in repos}


def has(name: str, file: str = "model.safetensors", *, cache: str | None = None) -> bool:
    """Whether the hub's cache, or another one of its kind, has a file of a model."""
    from huggingface_hub import try_to_load_from_cache

    return "/" in name and isinstance(try_to_load_from_cache(name, file, cache_dir=cache), str)


def remove(name: str) -> None:
    """Remove a model from the hub's cache.

    Raises:
        HubError: its files cannot be removed.
    """
    from huggingface_hub import scan_cache_dir

    found = scan_cache_dir()
    revisions = [one.commit_hash for repo in found.repos if repo.repo_id == name for one in repo.revisions]
    try:
        found.delete_revisions(*revisions).execute()
    except OSError as exc:
        raise HubError(f"{name!r} could not be removed: {exc}") from exc


def cache_place() -> str:
    """The folder of the hub's cache, which may not be there."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _has_weights(repo: Any) -> bool:
    """Whether a download got as far as the weights."""
    return any(file.file_name.endswith((".safetensors", ".onnx")) for one in repo.revisions for file in one.files)


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
            f"name. {MINI.name}, the bundled model, needs no network."
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
    if refused(exc):
        said = getattr(exc, "strerror", None) or exc
        return f"the disk refuses it ({said}). Free space, or set HF_HOME to a folder on a larger disk."
    if code in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT):
        return f"the cache folder cannot be written ({exc}). Set HF_HOME to a folder you can write to."
    first_line = (str(exc).strip() or type(exc).__name__).splitlines()[0]
    if isinstance(exc, ValueError | KeyError):
        return (
            f"what answers is no model hub ({first_line[:100]}). Check HF_ENDPOINT, the proxy and the network's login."
        )
    return f"{first_line[:300].rstrip('.')}. Try again; HF_ENDPOINT chooses another hub or mirror."
