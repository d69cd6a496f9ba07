"""A run's folder: who may write into it, and what it was started with.

    run.json        what was asked for, when, on what
    log.jsonl       a line a report and a line an evaluation
    prepared/       negatives and teachers' scores (unless `run.cache` names another place)
    checkpoints/    checkpoint-N, each whole
    model/          the result

It knows files; not models or data.
"""

import dataclasses
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crossrank.errors import InputFileError, UsageError
from crossrank.train.config import TrainConfig
from crossrank.train.log import prune_log
from crossrank.train.store import resumable
from crossrank.writing import write_whole

RECORD, LOG = "run.json", "log.jsonl"
PACKAGES = ("crossrank", "torch", "transformers", "sentence-transformers", "accelerate", "datasets", "bm25s", "numpy")
FREE = {  # may differ when a run is continued: they change no weight, but for the last digits on another device
    "run": {"output", "data", "cache"},
    "model": {"base_name", "name", "licence", "language", "reads"},
    "train": {"device", "threads", "log_every", "keep", "evaluate_every"},
}


def claim(config: TrainConfig, *, resume: bool) -> None:
    """Make the output folder this run's own.

    Raises:
        UsageError: it holds another run, or other files, or the run that is to be continued was asked for differently.
    """
    folder = config.output
    record = folder / RECORD
    asked = _asked(config)
    if record.is_file():
        known = _read(record)
        if not resume:
            raise UsageError(
                f"{folder} holds a run already (started {known.get('started', 'earlier')}). Give --resume to continue "
                "it, or another --output."
            )
        _check_same(known["config"], asked, folder)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty and holds no run. Give another --output; nothing there was touched.")
    write_record(config, {})


def write_record(config: TrainConfig, more: dict[str, Any]) -> None:
    """Write or add to run.json."""
    record = config.output / RECORD
    known = _read(record) if record.is_file() else {"started": _now(), "config": _asked(config), "versions": versions()}
    with resumable(record):
        write_whole(record, json.dumps({**known, **more}, indent=2, ensure_ascii=False) + "\n")


def read_record(config: TrainConfig) -> dict[str, Any]:
    """What run.json holds."""
    return _read(config.output / RECORD)


def forget_after(config: TrainConfig, step: int) -> None:
    """Take lines of later steps out of the log: they will be written again."""
    prune_log(config.output / LOG, step)


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _asked(config: TrainConfig) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    for part in ("output", "data", "cache"):
        asked["run"].pop(part)  # paths of a machine; they decide nothing
    return asked


def _read(record: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputFileError(f"{record} cannot be read ({exc}); the run in this folder cannot be continued.") from exc
    return known


def _check_same(known: dict[str, Any], asked: dict[str, Any], folder: Path) -> None:
    for part, wanted in asked.items():
        there = known.get(part)
        if isinstance(wanted, dict) and isinstance(there, dict):
            for key, value in wanted.items():
                if key not in FREE.get(part, set()) and there.get(key) != value:
                    raise _differs(folder, f"{part}.{key}", there.get(key), value)
        elif part != "evaluate" and there != wanted:
            raise _differs(folder, part, there, wanted)


def _differs(folder: Path, key: str, there: Any, asked: Any) -> UsageError:
    shown = f" ({there!r} there, {asked!r} now)" if len(f"{there}{asked}") < 120 else ""
    return UsageError(
        f"{folder} holds a run with another {key}{shown}; continued, it would be neither. Give another --output, or "
        "the config it was started with."
    )


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
