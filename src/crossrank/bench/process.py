"""The parent's side of a worker: one request, one answer, each within a time; stopped while it is not its turn.

It knows processes and lines of JSON; not rankers or measurements.
"""

import json
import os
import selectors
import signal
import subprocess  # our own files  # nosec B404
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossrank.lifetime import Closes

WORKER = Path(__file__).parent / "worker.py"
CLOSE_S_MAX = 60.0  # for the end of a killed process, whose memory may be large
BLOCK = 1 << 16


class WorkerError(Exception):
    """A worker failed, died, or did not answer in time; the message says which."""


class Worker(Closes):
    """A process that runs `worker.py` in some environment. Between requests it is stopped, so that it disturbs nobody.

    Args:
        environ: its variables.
        log: the file that its stderr is added to.
        python: the environment's interpreter; this one by default.

    Attributes:
        born: when it was started, on the clock of `time.perf_counter`.
        answered: when it last answered.
    """

    def __init__(self, environ: Mapping[str, str], log: Path, *, python: Path | None = None) -> None:
        self._log = log
        self.born = self.answered = time.perf_counter()
        with log.open("ab") as stderr:
            # NOTE: -P keeps the folder of worker.py from its path: a library would find our modules for its own.
            self._process = subprocess.Popen(  # noqa: S603 - an interpreter and our own file  # nosec B603
                [str(python or sys.executable), "-P", "-u", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environ,
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends all workers
            )
        assert self._process.stdin is not None, "bug: no pipe to write to"
        assert self._process.stdout is not None, "bug: no pipe to read from"
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def ask(self, message: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            WorkerError: there was none in time, or it was an error. After a missing answer the worker is ended.
        """
        self._signal(signal.SIGCONT)
        try:
            line = self._exchange(json.dumps(message).encode() + b"\n", time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            raise WorkerError(f"no answer to {message['op']!r} within {timeout_s:.0f} s") from None
        except (OSError, EOFError):
            self.close()
            raise WorkerError(self._death(message["op"])) from None
        self.answered = time.perf_counter()
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"][:300])
        return answer

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether more can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and whatever it started."""
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
        self._process.wait(CLOSE_S_MAX)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _death(self, operation: str) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        said = f"; it last wrote: {last[:200]}" if last else ""
        killed = " (killed, as for want of memory)" if self._process.returncode == -signal.SIGKILL else ""
        return f"died at {operation!r}, exit code {self._process.returncode}{killed}{said}"

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)  # the group: torch.compile has helpers
        except ProcessLookupError:
            return  # it has ended: the exchange will say so

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        """Write the request and read a line, never waiting beyond the deadline."""
        pending, answer = memoryview(request), bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self._out, selectors.EVENT_READ)
            ready.register(self._in, selectors.EVENT_WRITE)
            while not answer.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                for key, _ in ready.select(left):
                    if key.fd == self._in:
                        pending = pending[os.write(self._in, pending[:BLOCK]) :]
                        if not pending:
                            ready.unregister(self._in)
                        continue
                    block = os.read(self._out, BLOCK)
                    if not block:
                        raise EOFError
                    answer += block
        return bytes(answer)
