"""JSON files of a checkpoint, and the values in them, checked; it knows no family and no key."""

import json
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from crossrank.errors import CheckpointError

BYTES_MAX = 64 << 20  # of a file of settings; the largest index of weights has a few megabytes
SIZE_MAX = 1 << 20  # of any dimension; beyond it, config.json is broken, and reading on would take forever


def read_text(path: Path, bytes_max: int = BYTES_MAX) -> str:
    """A file's text.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
        CheckpointError: it is no plain file (a device or a pipe has no end), or larger than any that is in use.
    """
    facts = path.stat()
    if not S_ISREG(facts.st_mode):
        raise CheckpointError(f"{path} is no plain file. Download or export the model again.")
    if facts.st_size > bytes_max:
        raise CheckpointError(
            f"{path} has {facts.st_size:,} bytes; up to {bytes_max:,} are read. Download or export the model again."
        )
    return path.read_text(encoding="utf-8")


def read_json(path: Path, default: Any = None) -> Any:
    """A JSON file's content; `default` when the file is absent and a default is given."""
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        if default is not None:
            return default
        raise CheckpointError(
            f"{path.parent} has no {path.name}. A model folder holds config.json, tokenizer.json and model.safetensors."
        ) from None
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as exc:  # ValueError: no JSON, no UTF-8, a number of too many digits
        raise CheckpointError(f"{path} cannot be read: {exc}. Download or export the model again.") from exc


def read_object(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """A JSON file that holds an object; an empty one when it is absent and `optional`."""
    content = read_json(path, default={} if optional else None)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object. Download or export the model again.")
    return content


def size(config: Mapping[str, Any], key: str, *, least: int = 1, most: int = SIZE_MAX) -> int:
    """A whole number within bounds.

    Raises:
        KeyError: it is not there.
        ValueError: it is something else.
    """
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key} must be a whole number from {least} to {most}, not {value!r}")
    return value


def flag(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """True or False, or `default` when it is not there."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, not {value!r}")  # noqa: TRY004 - whatever is in the file
    return value


def positive(config: Mapping[str, Any], key: str, default: float, *, below: float = 1e30) -> float:
    """A number above 0, or `default` when it is not there."""
    value = float(config.get(key, default))
    if not 0 < value < below:
        raise ValueError(f"{key} must be a positive number below {below:g}, not {value!r}")
    return value
