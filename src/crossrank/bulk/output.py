"""A file that grows by a block a query, and can be gone on with after any interruption.

Beside FILE lies FILE.progress: what the job depends on, then a line for each block: where it ends, and its checksum.
A block counts once its line is there; whatever else is in either file is the trace of an interruption, and cut off.
It knows bytes and files; not queries, rankings or formats.
"""

import fcntl
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from zlib import crc32

from crossrank.errors import CrossrankError, UsageError
from crossrank.lifetime import Closes
from crossrank.writing import unwritable

ENDING = ".progress"


class Output(Closes):
    """The file, open for writing by this process alone.

    Args:
        file: made if it is not there.
        header: what the blocks depend on, as JSON; its keys are named in the message if another one is found.
        restart: begin anew, whatever is there.

    Attributes:
        done: blocks that the file holds.

    Raises:
        UsageError: the file cannot be written, is another job's, or is in use.
    """

    def __init__(self, file: Path, header: Mapping[str, Any], *, restart: bool = False) -> None:
        self._name = file
        self._progress_name = file.with_name(file.name + ENDING)
        self.done = 0
        if file.exists() and not file.is_file():
            raise UsageError(f"{file} is no regular file. Give one with -o, or leave -o out to print.")
        with ExitStack() as opened:
            # The progress first: who holds it is alone. Unbuffered: a full disk shows at the write, not at close.
            self._progress = opened.enter_context(self._opened(self._progress_name))
            self._lock()
            self._blocks = opened.enter_context(self._opened(file))
            if restart:
                self._cut(0, 0)
            self._go_on(header)
            opened.pop_all()

    def add(self, block: bytes) -> None:
        """Append a block; it is there once this returns, even if the process is killed."""
        self._write(self._blocks, self._name, block)
        self._end += len(block)
        self._write(self._progress, self._progress_name, _line([self._end, crc32(block)]))
        self.done += 1

    def close(self) -> None:
        """Let others write."""
        self._blocks.close()
        self._progress.close()

    def _opened(self, name: Path) -> IO[bytes]:
        try:
            return name.open("a+b", buffering=0)
        except OSError as exc:
            raise _unwritable(name, exc) from exc

    def _lock(self) -> None:
        try:
            fcntl.flock(self._progress, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise UsageError(
                f"{self._name} is being written by another process. Wait for it, or give another -o."
            ) from exc

    def _go_on(self, header: Mapping[str, Any]) -> None:
        """Read what is there, cut off what is not whole, and write the header where there is none."""
        self._progress.seek(0)
        lines = self._progress.read().splitlines(keepends=True)
        if not lines or not lines[0].endswith(b"\n"):  # not even the header was written to its end
            if self._blocks.seek(0, 2):
                raise UsageError(
                    f"{self._name} is there already, and {self._progress_name}, which would say what it holds, is not. "
                    "Give another -o, or --restart to begin anew."
                )
            self._cut(0, 0)
            self._end = 0
            self._write(self._progress, self._progress_name, _line(dict(header)))
            return
        self._check(lines[0], header)
        ends = [len(lines[0]), 0]
        self._blocks.seek(0)
        for line in lines[1:]:
            entry = _entry(line)
            if entry is None or entry[0] < ends[1]:
                break
            block = self._blocks.read(entry[0] - ends[1])
            if len(block) < entry[0] - ends[1] or crc32(block) != entry[1]:
                break
            ends = [ends[0] + len(line), entry[0]]
            self.done += 1
        self._cut(*ends)
        self._end = ends[1]

    def _check(self, line: bytes, header: Mapping[str, Any]) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"{self._progress_name} is broken. Give another -o, or --restart to begin anew.")
        wanted = json.loads(json.dumps(header))
        if other := [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]:
            raise UsageError(
                f"{self._name} holds the results of another job; not the same: {', '.join(other)}. "
                "Give another -o, or --restart to begin anew."
            )

    def _cut(self, progress_end: int, end: int) -> None:
        self._progress.truncate(progress_end)
        self._blocks.truncate(end)

    def _write(self, file: IO[bytes], name: Path, content: bytes) -> None:
        try:
            while content:  # a nearly full disk takes the beginning
                content = content[file.write(content) :]
        except OSError as exc:
            raise _unwritable(name, exc) from exc


def _unwritable(name: Path, exc: OSError) -> CrossrankError:
    kept = "What was finished is kept; make room and run the same command again."
    return unwritable(name, exc, left=kept, remedy="Give a file of yours with -o.")


def _line(entry: Any) -> bytes:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


def _entry(line: bytes) -> tuple[int, int] | None:
    """Where a block ends, and its checksum; None for what is no whole line of that."""
    if not line.endswith(b"\n"):
        return None
    try:
        end, checksum = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (end, checksum) if isinstance(end, int) and isinstance(checksum, int) else None
