"""Figures that stay: a JSON file in the cache folder for this machine and this version of crossrank.

It knows files; not what the figures say. Without a folder that can be written nothing stays, and nothing fails.
"""

import json
import logging
from dataclasses import asdict, is_dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crossrank import __version__
from crossrank.engine.open import available_precisions
from crossrank.machine import cache_folder, cpu_name, gpus, make_private, usable_cores
from crossrank.writing import write_whole

log = logging.getLogger("crossrank")


class Kept:
    """Entries by key, read once; each `put` writes the file anew, whole or not at all.

    Args:
        file: None keeps them in memory only.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._entries: dict[str, Any] = _read(file)

    def get(self, key: str) -> dict[str, Any] | None:
        """What was put under a key."""
        found: dict[str, Any] | None = self._entries.get(key)
        return found

    def put(self, key: str, value: Any) -> None:
        """Keep a dataclass of plain values."""
        assert is_dataclass(value), "bug: only dataclasses are kept"
        assert not isinstance(value, type), "bug: only values are kept"
        self._entries[key] = asdict(value)
        if self.file is not None:
            _write(self.file, self._entries)


def here() -> Kept:
    """The figures of this machine: processor, cores, instruction set, GPUs, versions of crossrank and torch."""
    caches = cache_folder()
    if caches is None:
        return Kept(None)
    facts = (cpu_name(), usable_cores(), available_precisions(), gpus(), __version__, _torch())
    name = blake2b(repr(facts).encode(), digest_size=16).hexdigest()
    return Kept(caches / "latency" / f"{name}.json")


def _torch() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _read(file: Path | None) -> dict[str, Any]:
    if file is None or not file.is_file():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:  # not ours to read, or damaged: measured again
        log.info("what was measured here cannot be read (%s: %s)", type(exc).__name__, exc)
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, entries: dict[str, Any]) -> None:
    try:
        make_private(file.parent)
        write_whole(file, json.dumps(entries, indent=1))
    except OSError as exc:
        log.info("what was measured here is not kept (%s)", exc)
