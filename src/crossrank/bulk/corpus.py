"""Documents of a large file by their id: only the places of those that are wanted are in memory.

It knows JSON lines and offsets; not queries, runs or rankers.
"""

import gzip
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from crossrank.collection.texts import entry_of
from crossrank.errors import InputFileError
from crossrank.lifetime import Closes


class Corpus(Closes):
    """The wanted documents of a file of JSON lines with `_id`, `text` and perhaps more; of a .gz, they are unpacked.

    The file is read once from end to end; then each document is read when it is asked for.

    Args:
        file: stays open until `close()`.
        wanted: ids; the others are passed over.

    Raises:
        InputFileError: the file cannot be read or parsed, or holds a wanted id twice.
    """

    def __init__(self, file: Path, wanted: AbstractSet[str]) -> None:
        self._file = file
        self._places: dict[str, int] = {}
        digest = blake2b(digest_size=16)
        with ExitStack() as opened:
            try:
                self._lines: IO[bytes] = opened.enter_context(
                    TemporaryFile() if file.suffix == ".gz" else file.open("rb")  # noqa: SIM115 - closed by close()
                )
                for key, place, line in self._found(wanted):
                    self._places[key] = place
                    digest.update(len(line).to_bytes(8, "little") + line)
            except (OSError, EOFError) as exc:
                if isinstance(exc, InputFileError):
                    raise
                raise InputFileError(f"{file} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
            opened.pop_all()
        self.digest = digest.hexdigest()

    def __contains__(self, key: object) -> bool:
        """Whether the file has a document of that id, and it was wanted."""
        return key in self._places

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The document's entry, read now."""
        self._lines.seek(self._places[key])
        try:
            found, entry = _parsed(self._lines.readline())
        except ValueError:
            found = None
        if found != key:
            raise InputFileError(f"{self._file} was changed while it was read; start again with --restart.")
        return entry

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _found(self, wanted: AbstractSet[str]) -> Iterator[tuple[str, int, bytes]]:
        """Each wanted document's id, place and line, as the file is passed through."""
        packed = self._file.suffix == ".gz"
        with gzip.open(self._file, "rb") if packed else self._file.open("rb") as lines:
            place = 0
            for number, line in enumerate(lines, 1):
                if line.strip():
                    key = self._id(line, number)
                    if key in wanted:
                        if key in self._places:
                            raise InputFileError(
                                f"{self._file}, line {number}: the id {key!r} stands in the file a second time. "
                                "Ids are unique."
                            )
                        yield key, place, line
                        if packed:
                            self._lines.write(line)
                            place += len(line)
                if not packed:
                    place += len(line)

    def _id(self, line: bytes, number: int) -> str:
        try:
            return _parsed(line)[0]
        except ValueError as exc:
            raise InputFileError(f"{self._file}, line {number}: {exc}") from None


def _parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """The id and the entry of a line; ValueError says what is wrong with it."""
    return entry_of(line.decode("utf-8-sig"))
