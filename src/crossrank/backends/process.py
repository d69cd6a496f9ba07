"""A model in a process of its own, on cores of its own: token ids go there over a socket, logits come back.

It knows processes and batches; not what opens the model there, nor that there are others beside it.
"""

import os
import pickle  # between us and our own process  # nosec B403
import signal
import socket
import subprocess  # our own interpreter  # nosec B404
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from crossrank.backends.contract import Backend, BackendFacts, Batch, Limits, Logits, Pending
from crossrank.backends.line import Kind, Line, Part
from crossrank.errors import ReplicaError
from crossrank.forks import in_children
from crossrank.threads import Promise, begin_thread

SILENT_S = 1_800.0  # longer than a batch, or opening any model, takes: a process that says nothing for so long hangs
END_S = 2.0  # for a process to end by itself once its line is closed; then it is killed
START = """\
import sys
sys.path[:] = sys.argv[3:]
from crossrank.backends.worker import main
main(int(sys.argv[1]), sys.argv[2])
"""
Asked = tuple[Batch, bool, Promise[Logits]]


class ProcessBackend:
    """One replica. The process is started at once; `opened` waits until it has its model.

    It ends with the last reference to this object, or with this process, however that ends. A thread of this process
    lives while there is something to ask.

    Args:
        name: of the replica, for messages.
        cores: that the process keeps to; none to leave it to the system.
        opening: opens the model there; it is pickled.
    """

    limits: Limits
    facts: BackendFacts

    def __init__(self, name: str, cores: Sequence[int], opening: Callable[[], Backend]) -> None:
        ours, theirs = socket.socketpair()
        self._line = Line(ours, SILENT_S)
        with theirs:
            paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109 - as text, as it stands there
            told = [str(theirs.fileno()), ",".join(map(str, cores)), *paths]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter  # nosec B603
                [sys.executable, "-c", START, *told],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl+C in a terminal is for this process, which ends the other
            )
        self._end = weakref.finalize(self, _end, self._process, self._line, os.getpid())
        where = f", cores {','.join(map(str, cores))}" if cores else ""
        self.name = f"{name} (process {self._process.pid}{where})"
        self._lock = threading.Lock()
        self._asked: deque[Asked] = deque()
        self._asking = False
        self._lost: str | None = None
        in_children(self, ProcessBackend._leave_to_parent)
        with suppress(OSError):  # it has died already: `opened` finds that out
            self._line.send(Kind.OPEN, pickle.dumps(opening))

    def opened(self) -> "ProcessBackend":
        """This replica, when it has its model.

        Raises:
            ReplicaError: the process died.
            CrossrankError: as when the model is opened here.
        """
        kind, answer = self._answer()
        assert kind == Kind.OPENED, "bug: the process answers before it has a model"
        limits, facts = pickle.loads(answer)  # noqa: S301 - our own process  # nosec B301
        self.limits, self.facts = replace(limits, ahead=1), facts
        return self

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """Logits fp32 [rows, labels]."""
        return self._ask(batch, exact=exact).result()

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:  # noqa: ARG002 - a process always is
        """Send a batch, behind those that were sent before, and give what waits for its logits."""
        return self._ask(batch, exact=False).result

    def _ask(self, batch: Batch, *, exact: bool) -> Promise[Logits]:
        promise: Promise[Logits] = Promise()
        with self._lock:
            self._asked.append((batch, exact, promise))
            idle = not self._asking
        if idle:  # if Ctrl+C comes in between, whoever asks next has this asked too
            begin_thread(self._ask_on, "crossrank-replica")
        return promise

    def _ask_on(self) -> None:
        """Ask what there is to be asked, one after the other; each promise gets its logits or an error."""
        with self._lock:
            if self._asking:  # by another thread, that was started at the same time
                return
            self._asking = True
        while True:
            with self._lock:
                if not self._asked:
                    self._asking = False
                    return
                batch, exact, promise = self._asked.popleft()
            try:
                run = Kind.RUN_EXACT if exact else Kind.RUN
                kind, answer = self._answer(run, batch.ids, batch.segments, batch.offsets)
                assert kind == Kind.LOGITS, "bug: an answer to something else"
                logits = np.frombuffer(answer, np.float32).reshape(len(batch.offsets) - 1, -1)
            except BaseException as exc:  # noqa: BLE001 - whatever it is, whoever waits must get it
                promise.fail(exc)
            else:
                promise.give(logits)
            del batch, promise  # while waiting for the lock nothing else is to be kept alive

    def _answer(self, kind: Kind | None = None, *parts: Part) -> tuple[Kind, memoryview]:
        """What the process answers to this, or to what it was told before; what failed there is raised here.

        Raises:
            ReplicaError: it died, hangs, or did so before.
        """
        if self._lost is not None:
            raise ReplicaError(self._lost)
        try:
            if kind is not None:
                self._line.send(kind, *parts)
            answered, (answer, *_) = self._line.receive()
        except (EOFError, OSError) as exc:
            self._lost = f"{self.name} {self._end_of(exc)}"
            raise ReplicaError(self._lost) from exc
        if answered == Kind.FAILED:
            raise pickle.loads(answer)  # noqa: S301 - our own process  # nosec B301
        return answered, answer

    def _leave_to_parent(self) -> None:
        """In a forked child, let go of the process: with its lines held here, it would outlive the parent."""
        self._lost = f"{self.name} belongs to the process that this one was forked from"
        self._end()

    def _end_of(self, failure: Exception) -> str:
        """What became of the process, in words; it is gone afterwards."""
        hangs = isinstance(failure, TimeoutError)
        if hangs:
            self._process.kill()
        self._end()
        code = self._process.returncode or 0
        if hangs:
            return f"said nothing for {SILENT_S:.0f} seconds"
        return f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with code {code}"


def _end(process: "subprocess.Popen[bytes]", line: Line, owner: int) -> None:
    """Close the line, by which the process ends, and wait until it has."""
    line.close()
    if os.getpid() != owner:
        process.returncode = 0  # a fork has no part in it: it is the parent's to end and to wait for
        return
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:  # stopped, or it hangs
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
