"""The folder that results go to: made, named in, refused with a reason. It knows paths; not what is written there."""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from crossrank.errors import CrossrankError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def make_folder(folder: Path) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc


def unwritable(
    path: Path, exc: OSError, *, kept: bool = True, give: str = "a folder of yours with --out"
) -> CrossrankError:
    """What to raise: the world's failure if the disk refuses, the caller's mistake if the place was wrong.

    Args:
        path: what was to be written.
        exc: why it was not.
        kept: whether the same command would go on from what was finished before.
        give: what to give instead.
    """
    reason = exc.strerror or str(exc)
    if exc.errno in FULL:
        finished = "What was finished before is kept; make" if kept else "Make"
        return CrossrankError(f"{path} could not be written: {reason}. {finished} room and run the same command again.")
    return UsageError(f"{path} cannot be written: {reason}. Give {give}.")


def check_writable(file: Path, *, give: str) -> None:
    """Whether a file can be written there, as far as can be told without writing it; folders may be missing.

    Raises:
        UsageError: it is a folder, or in one that may not be written to.
    """
    place = next(one for one in (file, *file.absolute().parents) if one.exists())
    if file.is_dir() or (place != file and not place.is_dir()) or not os.access(place, os.W_OK):
        why = "it is a folder" if file.is_dir() else f"{place} is no folder that you may write to"
        raise UsageError(f"{file} cannot be written: {why}. Give {give}.")


def file_names(names: Sequence[str]) -> list[str]:
    """A name of a file for each name of a row: letters, digits, dots and dashes only, each name once."""
    cleaned: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "ranker"
        cleaned.append(stem if stem not in cleaned else f"{stem}_{len(cleaned)}")
    return cleaned
