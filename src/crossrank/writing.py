"""Files and folders that are there whole or not at all, and what to say where they cannot be written.

It knows the file system; not what is written.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from crossrank.errors import CrossrankError, UsageError

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
REFUSED_WORDS = (  # by which libraries that write by themselves (safetensors, torch) tell the same
    "No space left",
    "StorageFull",
    "FileTooLarge",
    "File too large",
    "os error 28",
    "os error 27",
    "os error 122",
    "PytorchStreamWriter",
    "inline_container",
)


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A path to write to, which becomes `file` if the body ends well, and is gone if it does not.

    Any number of processes may write the same file; the last one's stays. What is no regular file (a device, a pipe) is
    written to as it is, a link's target is replaced and not the link, and permissions stay as they were.
    """
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        yield file
        return
    partial = file.with_name(f".{file.name[:40]}.{uuid4().hex[:8]}.part")
    try:
        yield partial
        if file.exists():
            shutil.copymode(file, partial)
        partial.replace(file)
    except OSError as exc:
        if exc.filename == str(partial):
            exc.filename = str(file)  # as whoever asked for it calls it
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    with whole_file(file) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` if the body ends well, in place of one of that name.

    One process at a time may do that. What one leaves that is killed meanwhile is removed by the next.
    """
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_of(folder: Path) -> Path:
    """The folder that `whole_folder` writes into."""
    return folder.with_name(f".{folder.name}.part")


def is_partial(path: Path) -> bool:
    """Whether it is what a writer makes before it is whole, or left when it was killed."""
    return path.name.startswith(".") and path.suffix == ".part"


def refused(exc: BaseException) -> bool:
    """Whether a disk is full, a limit is reached or a device fails: no mistake of whoever chose the place."""
    return getattr(exc, "errno", None) in REFUSALS or any(word in str(exc) for word in REFUSED_WORDS)


def unwritable(place: Path, exc: Exception, *, left: str, remedy: str) -> CrossrankError:
    """What to raise: the world's failure where the disk refuses, the caller's mistake where the place is wrong.

    Args:
        place: what could not be written.
        exc: why.
        left: a sentence for the former: what is left, what to do.
        remedy: a sentence for the latter: which place to give.
    """
    reason = getattr(exc, "strerror", None) or str(exc)
    if refused(exc):
        return CrossrankError(f"{place} could not be written: {reason}. {left}")
    where = getattr(exc, "filename", None)
    about = f"{where}: " if where and str(where) != str(place) else ""
    return UsageError(f"{place} cannot be written: {about}{reason}. {remedy}")


def check_writable(file: Path, *, remedy: str) -> None:
    """Whether a file can be written there, as far as can be told without writing it; folders may be missing.

    Raises:
        UsageError: it is a folder, or in one that may not be written to.
    """
    place = next(one for one in (file, *file.absolute().parents) if one.exists())
    if file.is_dir() or (place != file and not place.is_dir()) or not os.access(place, os.W_OK):
        why = "it is a folder" if file.is_dir() else f"{place} is no folder that you may write to"
        raise UsageError(f"{file} cannot be written: {why}. {remedy}")
