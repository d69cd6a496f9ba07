"""The folder that results go to: made, named in, refused with a reason. It knows paths; not what is written there."""

import errno
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


def unwritable(path: Path, exc: OSError) -> CrossrankError:
    """What to raise: the world's failure if the disk refuses, the caller's mistake if the place was wrong."""
    reason = exc.strerror or str(exc)
    if exc.errno in FULL:
        return CrossrankError(
            f"{path} could not be written: {reason}. What was finished before is kept; "
            "make room and run the same command again."
        )
    return UsageError(f"{path} cannot be written: {reason}. Give a folder of yours with --out.")


def file_names(names: Sequence[str]) -> list[str]:
    """A name of a file for each name of a row: letters, digits, dots and dashes only, each name once."""
    cleaned: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "ranker"
        cleaned.append(stem if stem not in cleaned else f"{stem}_{len(cleaned)}")
    return cleaned
