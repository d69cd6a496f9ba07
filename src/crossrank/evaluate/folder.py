"""The folder that results go to: made, named in, refused with a reason. It knows paths; not what is written there."""

import re
from collections.abc import Sequence
from pathlib import Path

from crossrank import writing
from crossrank.errors import CrossrankError


def make_folder(folder: Path) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        UsageError, CrossrankError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc


def unwritable(path: Path, exc: OSError) -> CrossrankError:
    """What to raise where results cannot be written."""
    return writing.unwritable(
        path,
        exc,
        left="What was finished before is kept; make room and run the same command again.",
        remedy="Give a folder of yours with --out.",
    )


def file_names(names: Sequence[str]) -> list[str]:
    """A name of a file for each name of a row: letters, digits, dots and dashes only, each name once."""
    cleaned: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "ranker"
        cleaned.append(stem if stem not in cleaned else f"{stem}_{len(cleaned)}")
    return cleaned
