"""A real Redis server on loopback, which tests start, stop, freeze and start again."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from ports import held_port


class RedisServer:
    """`redis-server` on a port of its own, with nothing on disk. Skips the test where the program is missing."""

    def __init__(self, folder: Path, *options: str) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("there is no redis-server (scripts/system_packages.sh PYTHON tests installs it on Debian)")
        self._held = held_port()  # while it is down, too
        self.port = self._held.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *options]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Empty, and ready when this returns."""
        self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        self.stop()
        raise AssertionError("".join(said))

    def stop(self) -> None:
        """Gone at once, as a machine that is switched off."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def freeze(self) -> None:
        """Connections are accepted, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # only now is it

    def close(self) -> None:
        """End it, and let go of its port."""
        self.stop()
        self._held.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
