"""Files by path or URI, on this machine or in an object store; what is written there is whole or absent.

It knows bytes and names; not formats, partitions or jobs. pyarrow's file systems do the work; where it has none,
fsspec's.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from crossrank.errors import CrossrankError, InputFileError, MissingExtra, UsageError

RENAMING = ("local", "hdfs", "subtree")  # file systems where a half-written file could be seen; others publish at close
PART = ".part-"  # how names begin that are being written; a killed writer leaves them behind


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that is read, as it was when it was listed.

    Attributes:
        root: the path or URI that it was found under, which tells the file system.
        path: its name there.
        size: in bytes.
        changed_ns: when it was last changed, in nanoseconds since the epoch; None where the store does not tell.
    """

    root: str
    path: str
    size: int
    changed_ns: int | None

    def opened(self, *, compressed: bool = False) -> Any:
        """A pyarrow file that can be sought in; with `compressed`, a stream of what was packed in it.

        Raises:
            InputFileError: it cannot be read here, or was changed since it was listed.
        """
        system, _ = located(self.root)
        try:
            now = system.get_file_info(self.path)
            same = now.size == self.size and self.changed_ns in (None, now.mtime_ns)
            opened = system.open_input_stream(self.path, "gzip") if compressed else system.open_input_file(self.path)
        except OSError as exc:
            raise InputFileError(f"{self.path} cannot be read: {exc}. Every node must see the same files.") from exc
        if not same:
            opened.close()
            raise InputFileError(
                f"{self.path} was changed since the job began. Start it again, with --overwrite if it has results."
            )
        return opened


def located(uri: str) -> tuple[Any, str]:
    """The file system of a path or URI, and the name in it.

    Raises:
        UsageError: no file system is known for it, or it cannot be reached with the settings of the environment.
    """
    fs = _pyarrow_fs()
    try:
        if "://" not in uri:
            return fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
        try:
            system, path = fs.FileSystem.from_uri(uri)
        except ValueError:  # no scheme of pyarrow's
            from fsspec.core import url_to_fs

            system, path = url_to_fs(uri)
            system = fs.PyFileSystem(fs.FSSpecHandler(system))
    except (OSError, ValueError, ImportError) as exc:
        raise UsageError(
            f"{uri!r} is no place that can be read: {exc}. Give a path, or a URI such as s3://bucket/folder."
        ) from exc
    return system, path


def everywhere(uri: str | os.PathLike[str]) -> str:
    """The same place for processes with another working folder."""
    text = os.fspath(uri)
    return text if "://" in text else str(Path(text).expanduser().absolute())


def listed(
    uris: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], endings: Sequence[str]
) -> tuple[SourceFile, ...]:
    """The files of one or several places, each a file or a folder with all below it, in the order of their names.

    Of a folder, files count that have one of the endings and whose path has no part that begins with `_` or `.`.

    Raises:
        InputFileError: a place is not there, or has no file.
    """
    places = [uris] if isinstance(uris, str | os.PathLike) else list(uris)
    found = [file for place in places for file in _listed(everywhere(place), endings)]
    if not found:
        raise InputFileError("no file was given to read; name at least one")
    twice = {file.path for file in found if sum(other.path == file.path for other in found) > 1} if places[1:] else ()
    if twice:
        raise InputFileError(f"{min(twice)} was given twice; its rows would be ranked twice. Name it once.")
    return tuple(found)


def _listed(uri: str, endings: Sequence[str]) -> list[SourceFile]:
    fs = _pyarrow_fs()
    system, path = located(uri)
    try:
        info = system.get_file_info(path)
        inside = info.type == fs.FileType.Directory
        infos = system.get_file_info(fs.FileSelector(path, recursive=True)) if inside else [info]
    except OSError as exc:
        raise InputFileError(f"{uri} cannot be read: {exc}") from exc
    if info.type == fs.FileType.NotFound:
        raise InputFileError(f"{uri} is not there. Give a file, or a folder of files.")
    kept = [
        SourceFile(uri, info.path, info.size, info.mtime_ns)
        for info in infos
        if info.type == fs.FileType.File
        and info.size  # an empty file, of a writer that had no rows, is no table
        and info.path.lower().endswith(tuple(endings))
        and not (inside and any(part[:1] in "_." for part in info.path[len(path) :].strip("/").split("/")))
    ]
    if not kept:
        raise InputFileError(f"{uri} holds no file that can be read; endings that are known: {', '.join(endings)}.")
    return sorted(kept, key=lambda file: file.path)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that results go to. It need not exist before the first file is written."""

    uri: str

    def names(self, below: str = "") -> list[str]:
        """Names of the files in a folder below, sorted; those that are being written are not among them."""
        return [name for name in self._names(below) if not name.startswith(PART)]

    def is_empty(self) -> bool:
        """Whether nothing is there, a folder included."""
        fs = _pyarrow_fs()
        system, path = located(self.uri)
        if system.get_file_info(path).type == fs.FileType.File:
            raise UsageError(f"{self.uri} is a file. Give a folder with --out.")
        return not system.get_file_info(fs.FileSelector(path, allow_not_found=True))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it is not there."""
        system, path = located(self.uri)
        try:
            with system.open_input_stream(f"{path}/{name}") as stream:
                return bytes(stream.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def opened(self, name: str) -> Any:
        """A file that can be sought in."""
        system, path = located(self.uri)
        return system.open_input_file(f"{path}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, whole, in place of one of that name; who looks meanwhile sees that one, or none.

        Raises:
            CrossrankError: the store refuses.
        """
        system, path = located(self.uri)
        target = f"{path}/{name}"
        folder, _, last = target.rpartition("/")
        try:
            if system.type_name not in RENAMING:
                with system.open_output_stream(target) as stream:
                    stream.write(content)
                return
            system.create_dir(folder)
            part = f"{folder}/{PART}{uuid4().hex}-{last}"
            with system.open_output_stream(part) as stream:
                stream.write(content)
            system.move(part, target)
        except OSError as exc:
            raise CrossrankError(
                f"{target} could not be written: {exc}. What was finished before is kept; see to it, then --resume."
            ) from exc

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those that are not there too."""
        system, path = located(self.uri)
        for name in names:
            try:
                system.delete_file(f"{path}/{name}")
            except FileNotFoundError:
                continue

    def drop(self, below: str) -> None:
        """Remove a folder below with all its files, if it is there."""
        system, path = located(self.uri)
        try:
            system.delete_dir(f"{path}/{below}")
        except FileNotFoundError:
            return

    def sweep(self, below: str) -> None:
        """Remove what killed writers left in a folder below; nobody may be writing there."""
        self.remove(f"{below}/{name}" for name in self._names(below) if name.startswith(PART))

    def _names(self, below: str) -> list[str]:
        fs = _pyarrow_fs()
        system, path = located(self.uri)
        infos = system.get_file_info(fs.FileSelector(f"{path}/{below}".rstrip("/"), allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type == fs.FileType.File)


def _pyarrow_fs() -> Any:
    try:
        from pyarrow import fs
    except ImportError as exc:
        raise MissingExtra("pyarrow is not installed. Run: pip install 'crossrank[ray]'") from exc
    return fs
