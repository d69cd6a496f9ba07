"""A command line on a terminal of its own: what it writes there, keys for it, how it ends."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from unmeasured import unmeasured

COMMAND = [sys.executable, "-c", "from crossrank.cli.main import main; main()"]
OF_ITS_OWN = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "  # so that keys become signals
COLOURS = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}  # would change what is written
PATIENCE_S = 240.0  # for whatever is waited for: a command begins within seconds, on a busy machine within a minute


class Terminal:
    """`crossrank` with its stdin, stdout and stderr on a new terminal, where Ctrl-C may be pressed.

    Attributes:
        process: its id.
        written: all that it wrote so far, also what it wiped again.
    """

    def __init__(self, *arguments: object, columns: int = 80, **environment: str) -> None:
        kept = {name: value for name, value in unmeasured().items() if name not in COLOURS}
        self._side, its_side = os.openpty()
        fcntl.ioctl(its_side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # No fork of Python's own: a copy of this process may have locks that a thread of it holds.
        self._command = subprocess.Popen(
            [*COMMAND[:-1], OF_ITS_OWN + COMMAND[-1], *map(str, arguments)],
            stdin=its_side,
            stdout=its_side,
            stderr=its_side,
            env={**kept, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(its_side)
        self.process = self._command.pid
        self.written = ""
        self._bytes = b""

    def wait_for(self, text: str) -> None:
        """Until the text has been written; fails at the end of the output."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.written:
            if not self._read(until):
                self._command.wait(PATIENCE_S)
                os.close(self._side)
                pytest.fail(f"the command ended without {text!r}; it wrote: {self.written}")

    def press(self, keys: str) -> None:
        """As if typed."""
        os.write(self._side, keys.encode())

    def end(self) -> tuple[int, str]:
        """The exit code, and what stands on the terminal then."""
        until = time.monotonic() + PATIENCE_S
        while self._read(until):
            pass
        code = self._command.wait(PATIENCE_S)
        os.close(self._side)
        return code, standing(self.written)

    def _read(self, until: float) -> bool:
        """What comes next; False at the end of the output."""
        ready = select.poll()
        ready.register(self._side, select.POLLIN)
        if not ready.poll(1000 * max(0.0, until - time.monotonic())):
            os.killpg(self.process, signal.SIGKILL)
            self._command.wait(PATIENCE_S)
            os.close(self._side)
            pytest.fail(f"the command wrote nothing more within {PATIENCE_S:g} s; before, it wrote: {self.written}")
        try:
            block = os.read(self._side, 1 << 16)
        except OSError:  # Linux says so when the other side has closed
            return False
        self._bytes += block
        self.written = self._bytes.decode(errors="replace").replace("\r\n", "\n")
        return bool(block)


def standing(written: str) -> str:
    """What was written, without what was written over: what takes long shows that it goes on, and wipes it again."""
    return "\n".join(line if "\r" not in line else _over(line) for line in written.split("\n"))


def _over(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip(" ")
