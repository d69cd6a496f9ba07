"""Texts by id on a disk of this machine, for all processes on it: written once, then mapped into memory.

A job's corpus may be larger than memory: what is in use of it is in the operating system's cache, once for all
processes. Two files make a store: the records (ids and texts, one after the other), and where each is, by the sorted
hashes of the ids. It knows rows of two or three columns; not queries, candidates, or who asks.
"""

import fcntl
import mmap
import os
import shutil
import struct
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from crossrank.cluster.columns import USUAL, check_columns, id_of
from crossrank.cluster.storage import SourceFile
from crossrank.cluster.tables import Broken, columns_of, rows
from crossrank.errors import CrossrankError, InputFileError
from crossrank.writing import partial_of, whole_folder

FORMAT = 1  # raised when a store looks otherwise
RECORD = struct.Struct("<IIB")  # bytes of the id, bytes of the text, and whether it is a text
RECORDS, INDEX = "records", "index.npy"


@dataclass(frozen=True, slots=True)
class NoText:
    """Why an id has no text that could be read."""

    reason: str  # "empty_text" or "not_a_string"
    why: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a store is made of.

    Attributes:
        table: "queries" or "corpus".
        files: in order.
        columns: of ids, of texts, and perhaps of titles, which come before the text.
    """

    table: str
    files: tuple[SourceFile, ...]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the store; another one if any of it changes."""
        return blake2b(repr((FORMAT, self.files, self.columns)).encode(), digest_size=16).hexdigest()


class Texts:
    """An open store.

    Args:
        folder: where `stage` put it.
    """

    def __init__(self, folder: Path) -> None:
        self._index: NDArray[np.uint64] = np.load(folder / INDEX, mmap_mode="r")  # [2, n]: hashes, sorted; places
        with (folder / RECORDS).open("rb") as records:
            self._records = mmap.mmap(records.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        """The number of ids."""
        return int(self._index.shape[1])

    def many(self, ids: Sequence[str]) -> dict[str, str | NoText]:
        """The texts of ids, or why there is none to read; ids that are not in the store are left out."""
        distinct = list(dict.fromkeys(ids))
        hashes = np.array([_hash(_bytes(key)) for key in distinct], np.uint64)
        found: dict[str, str | NoText] = {}
        for key, sought, at in zip(distinct, hashes, np.searchsorted(self._index[0], hashes).tolist(), strict=True):
            while at < len(self) and self._index[0, at] == sought:  # ids that share a hash stand side by side
                known, text = self._record(int(self._index[1, at]))
                if known == key:
                    found[key] = text
                    break
                at += 1  # noqa: PLW2901 - the next of the same hash
        return found

    def close(self) -> None:
        """Unmap it."""
        self._records.close()

    def _record(self, place: int) -> tuple[str, str | NoText]:
        id_size, size, is_text = RECORD.unpack_from(self._records, place)
        start = place + RECORD.size
        key = _string(self._records[start : start + id_size])
        content = _string(self._records[start + id_size : start + id_size + size])
        return key, content if is_text else NoText(*content.split("\n", 1))


@dataclass(slots=True)
class Staged:
    """A store in use: nobody removes it before `close()`, or the end of this process."""

    texts: Texts
    _lock: IO[bytes]

    @classmethod
    def of(cls, source: Source, scratch: Path) -> Self:
        """The store of a source below `scratch`, made now if no process on this machine has made it before.

        Raises:
            InputFileError: a file cannot be read, a row has no id, or an id stands there twice.
            CrossrankError: there is no room.
        """
        private(scratch)
        folder = scratch / source.name
        lock = (scratch / f"{source.name}.lock").open("ab")
        try:
            # Whoever uses it shares the lock, and who makes it holds it alone; either is let go of when a process dies.
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not folder.is_dir():
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not folder.is_dir():
                    _remove_unused(scratch, keep=source.name)
                    _make(source, folder)
                fcntl.flock(lock, fcntl.LOCK_SH)  # for a moment it is nobody's, and might be removed: looked at again
            return cls(Texts(folder), lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Let it be removed when room is needed."""
        self.texts.close()
        self._lock.close()


def private(scratch: Path) -> None:
    """Make the folder, for this user alone.

    Raises:
        CrossrankError: it is somebody else's.
    """
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    if scratch.stat().st_uid != os.getuid():
        raise CrossrankError(f"{scratch} belongs to another user. Give a folder of yours with scratch= (--scratch).")


def default_scratch() -> Path:
    """Where stores go on this machine, unless something else is said."""
    return Path(tempfile.gettempdir()) / f"crossrank-{os.getuid()}"


def _make(source: Source, folder: Path) -> None:
    """Write a store; this process holds the lock, so that nobody else does."""
    try:
        with whole_folder(folder) as part:
            with (part / RECORDS).open("wb") as records:
                index = _written(source, records)
            np.save(part / INDEX, index)
            _check_unique(Texts(part), source)
    except CrossrankError:  # of a file that is read; some are OSErrors too
        raise
    except OSError as exc:
        raise CrossrankError(
            f"the texts of {source.files[0].path} could not be put into {folder.parent}: {exc}. "
            "Each node needs room for them; give another folder with scratch= (--scratch)."
        ) from exc


def _written(source: Source, records: IO[bytes]) -> NDArray[np.uint64]:
    """The index of records, which are written as the rows are read."""
    hashes, places, at = array("Q"), array("Q"), 0
    for file in source.files:
        roles = dict(zip(USUAL[source.table], source.columns, strict=False))  # without a title: the last is not there
        check_columns(source.table, columns_of(file), roles, file.path)
        for number, (_, row) in enumerate(rows(file, source.columns)):
            key, record = _record_of(row, f"{file.path}, row {number}")
            hashes.append(_hash(key))
            places.append(at)
            at += records.write(record)
    if not places:
        raise InputFileError(f"{source.files[0].path} and the files beside it hold no rows.")
    sorted_by = np.argsort(np.frombuffer(hashes, np.uint64), kind="stable")
    return np.stack([np.frombuffer(hashes, np.uint64)[sorted_by], np.frombuffer(places, np.uint64)[sorted_by]])


def _record_of(row: Sequence[Any] | Broken, where: str) -> tuple[bytes, bytes]:
    if isinstance(row, Broken):
        raise InputFileError(f"{where}: {row.why}. Every row must have an id and a text.")
    name = id_of(row[0])
    if name is None:
        raise InputFileError(f"{where} has no id: {row[0]!r}. Ids are strings or whole numbers, and never empty.")
    text = _text_of(*row[1:])
    key = _bytes(name)
    content = _bytes(text if isinstance(text, str) else f"{text.reason}\n{text.why}")
    return key, RECORD.pack(len(key), len(content), isinstance(text, str)) + key + content


def _text_of(text: Any, title: Any = None) -> str | NoText:
    """What is read of a row: its title, where it has one, then its text, as `crossrank rank --queries` does."""
    for part in (text, title):
        if part is not None and not isinstance(part, str):
            return NoText("not_a_string", f"{part!r:.80} is no text")
    if text is None:
        return NoText("empty_text", "there is no text")
    try:
        whole = f"{title or ''} {text}".strip()
        whole.encode()
    except UnicodeEncodeError:
        return NoText("not_a_string", "it holds a lone surrogate, which is no valid Unicode text")
    return whole or NoText("empty_text", "the text is empty")


def _check_unique(texts: Texts, source: Source) -> None:
    """Raise if an id is in the store twice: it would be chance which text is read."""
    index = texts._index  # noqa: SLF001 - this module's own class
    equal = np.flatnonzero(index[0, 1:] == index[0, :-1])
    for at in equal.tolist():
        after = at + 1
        while after < index.shape[1] and index[0, after] == index[0, at]:
            one, other = (texts._record(int(index[1, n]))[0] for n in (at, after))  # noqa: SLF001
            if one == other:
                raise InputFileError(
                    f"the id {one!r} stands a second time in {source.files[0].path} or a file beside it. "
                    "Ids are unique."
                )
            after += 1


def _remove_unused(scratch: Path, *, keep: str) -> None:
    """Make room: stores of jobs that no process on this machine is at."""
    for file in scratch.glob("*.lock"):
        if file.stem == keep:
            continue
        with _alone(file) as alone:
            if alone:
                for folder in (scratch / file.stem, partial_of(scratch / file.stem)):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    with file.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _hash(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _string(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")
