"""A command line on a terminal of its own: what it writes there, keys for it, how it ends."""

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

COMMAND = [sys.executable, "-c", "from crossrank.cli.main import main; main()"]
COLOURS = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}  # would change what is written


class Terminal:
    """`crossrank` with its stdin, stdout and stderr on a new terminal."""

    def __init__(self, *arguments: object, columns: int = 80, **environment: str) -> None:
        size = struct.pack("HHHH", 24, columns, 0, 0)
        kept = {name: value for name, value in os.environ.items() if name not in COLOURS}
        self.process, self.side = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            command = [*COMMAND, *map(str, arguments)]
            os.execve(command[0], command, {**kept, "TERM": "xterm-256color", **environment})
        self.written = b""

    def wait_for(self, text: str) -> None:
        """Until the text has been written; fails at the end of the output."""
        while text.encode() not in self.written:
            try:
                self.written += os.read(self.side, 1 << 16)
            except OSError:  # Linux says so when the other side has closed
                pytest.fail(f"the command ended without {text!r}; it wrote: {self.written.decode(errors='replace')}")

    def press(self, keys: str) -> None:
        """As if typed."""
        os.write(self.side, keys.encode())

    def end(self) -> tuple[int, str]:
        """The exit code, and all that was written."""
        try:
            while block := os.read(self.side, 1 << 16):
                self.written += block
        except OSError:  # Linux says so when the other side has closed
            pass
        os.close(self.side)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1]), self.written.decode().replace("\r\n", "\n")
