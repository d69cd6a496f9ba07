"""What a job scores with: the model by its name and options, and what tells it from any other. It knows no cluster."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossrank import __version__
from crossrank.checkpoint.source import BUNDLED
from crossrank.errors import UsageError
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker

OURS = ("self", "model", "device", "threads", "cache", "fallback", "waiting_max")  # set by what the worker is given


def checked(model: str | None, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model's name, which means the same on every node, and its options.

    Raises:
        UsageError: the model is a remote one, or an option is none of `Reranker`'s that a job can set.
    """
    name = str(model or BUNDLED)
    if is_remote(name):
        raise UsageError(f"{name!r} is asked over the network, where a cluster does not help; use `crossrank rank`.")
    allowed = [option for option in inspect.signature(Reranker.__init__).parameters if option not in OURS]
    if unknown := [option for option in options if option not in allowed]:
        raise UsageError(f"options: {', '.join(map(repr, unknown))} cannot be set; allowed: {', '.join(allowed)}.")
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name, dict(options)


def opened(model: str, options: Mapping[str, Any], *, cpus: int, gpus: float) -> Reranker:
    """The model, opened for a worker that has so many CPUs and GPUs; without caches: each pair comes once."""
    return Reranker(model, device="cuda" if gpus else "cpu", threads=cpus, cache=None, **options)


def identity(ranker: Reranker) -> dict[str, Any]:
    """What its scores depend on, as JSON: files, settings, what computes them, and the version of crossrank."""
    origin, facts = ranker.origin, ranker.facts
    computed_by = {"backend": facts.backend, "device": facts.device, "detail": facts.detail}
    calibration = None if ranker.calibration is None else repr(ranker.calibration.curve)
    return {**asdict(origin), **computed_by, "calibration": calibration, "crossrank": __version__}
