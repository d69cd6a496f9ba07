"""The parent's side of a worker: one request, one answer, each within a time; stopped while it is not its turn.

It knows processes and lines of JSON; not peers or measurements.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WORKER = Path(__file__).parent / "worker.py"
CLOSE_S_MAX = 5.0
BLOCK = 1 << 16


class WorkerError(Exception):
    """A worker failed, died, or did not answer in time; the message says which."""


class Worker:
    """A process that runs `worker.py` in some environment. Between requests it is stopped, so that it disturbs nobody.

    Args:
        python: the environment's interpreter.
        environ: its variables.
        log: the file that its stderr is added to.
    """

    def __init__(self, python: Path, environ: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [str(python), "-u", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environ,
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends all workers
            )
        assert self._process.stdin is not None and self._process.stdout is not None, "bug: no pipes"  # noqa: PT018
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
            raise WorkerError(
                f"died at {message['op']!r} (exit code {self._process.returncode}); see {self._log}"
            ) from None
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"][:300])
        return answer

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

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

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
