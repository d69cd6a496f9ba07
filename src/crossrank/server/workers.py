"""Several processes that listen on one socket: they are watched, replaced when they die, and ended together.

The weights are a file that each maps, so that they are in memory once. It knows processes and signals; not what is
served.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from shutil import rmtree

from crossrank.errors import CrossrankError
from crossrank.server.custody import Custodian, Custody
from crossrank.server.ending import LAST_S
from crossrank.server.logs import set_up
from crossrank.server.metrics import FOLDER
from crossrank.server.models import Open
from crossrank.server.run import RELOAD, STOP, build, work
from crossrank.server.settings import Settings

SOON_S = 10.0  # a worker that lives shorter has failed to start
FAILURES_MAX = 5  # in a row, of all workers together; then the server gives up
PAUSE_S = 0.5  # before a replacement after the first such failure; doubled with each
OUTER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # signals that the watching process is told by
log = logging.getLogger("crossrank.server")


@dataclass(slots=True, eq=False)
class Worker:
    """One process, who keeps its connections, and when it was started."""

    process: BaseProcess
    custodian: Custodian
    started: float


class Workers:
    """The processes of one server."""

    def __init__(self, settings: Settings, open_model: Open, bound: socket.socket) -> None:
        self._settings = settings
        self._open_model = open_model
        self._bound = bound
        self._context = multiprocessing.get_context("spawn")
        self._running: list[Worker] = []
        self._due: list[float] = []  # when replacements are started
        self._numbers = count()
        self._failures = 0
        self._stopping = False
        self._until = 0.0

    def run(self) -> int:
        """Serve until a signal ends it; the exit code."""
        # NOTE: before any worker: Python 3.11 starts it beside the first one, and lets signals through while it does.
        resource_tracker.ensure_running()
        with _folder() as folder, _signals() as arrived:
            (folder / "quotas").touch()
            self._due = [0.0] * self._settings.workers
            while self._running or self._due:
                self._start_due(folder)
                links = {worker.custodian.link: worker.custodian for worker in self._running}
                sentinels = [worker.process.sentinel for worker in self._running]
                ready = wait([*sentinels, *links, arrived], self._patience_s())
                if arrived in ready:
                    for number in arrived.recv(64):
                        self._obey(signal.Signals(number))
                for link in links.keys() & set(ready):
                    links[link].hear()
                if self._stopping and time.monotonic() > self._until:
                    self._signal(signal.SIGKILL)
                for worker in [worker for worker in self._running if not worker.process.is_alive()]:
                    self._bury(worker)
        return 1 if self._failures >= FAILURES_MAX else 0

    def _start_due(self, folder: Path) -> None:
        now = time.monotonic()
        for _ in [due for due in self._due if due <= now]:
            notes = folder / f"connections-{next(self._numbers)}"
            encrypted = self._settings.ssl_certfile is not None
            custodian = Custodian(notes, self._settings.connections_max, encrypted=encrypted)
            arguments = (self._settings, self._open_model, self._bound, folder, notes, custodian.worker_link)
            process = self._context.Process(target=run_worker, args=arguments, name="crossrank-worker")
            # Until it can obey, what it is told waits: a signal would kill a process that is still importing.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {*OUTER, STOP, RELOAD})
            process.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            custodian.worker_link.close()
            self._running.append(Worker(process, custodian, now))
        self._due = [due for due in self._due if due > now]

    def _bury(self, dead: Worker) -> None:
        """What a dead worker held is answered, and another takes its place."""
        self._running.remove(dead)
        dead.process.join()
        dead.custodian.end()
        _forget_counts(dead.process.pid)
        if self._stopping:
            return
        code = dead.process.exitcode
        soon = time.monotonic() - dead.started < SOON_S and code != -signal.SIGKILL
        self._failures = self._failures + 1 if soon else 0
        log.warning("a worker died", extra={"facts": {"pid": dead.process.pid, "exit": code}})
        if self._failures >= FAILURES_MAX:
            log.error("the workers cannot be started; giving up")
            self._stop()
            return
        pause_s = PAUSE_S * 2 ** (self._failures - 1) if self._failures else 0.0
        self._due.append(time.monotonic() + pause_s)

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            self._signal(RELOAD)
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._signal(signal.SIGKILL)
            else:
                self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._due = []
        self._until = time.monotonic() + self._settings.shutdown_s + 2 * LAST_S
        self._bound.close()
        self._signal(STOP)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._running:
            if worker.process.pid is not None and worker.process.is_alive():
                os.kill(worker.process.pid, number)

    def _patience_s(self) -> float | None:
        """How long to wait for something to happen: for ever while all is well, for this process has nothing to do."""
        times = [*self._due, *([self._until] if self._stopping else [])]
        return max(0.0, min(times) - time.monotonic()) if times else None


def run_worker(
    settings: Settings, open_model: Open, bound: socket.socket, folder: Path, notes: Path, link: socket.socket
) -> None:
    """What a worker process does."""
    for number in OUTER:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OUTER)
    set_up(settings.log_level)
    bound.setblocking(False)
    custody = Custody(link, notes, settings.connections_max)
    try:
        work(build(settings, open_model, os.environ, folder / "quotas"), settings, bound, custody)
    except CrossrankError as exc:
        log.error("the worker cannot serve: %s", exc)  # noqa: TRY400 - it says all, and holds no text of a call
        sys.exit(1)


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the processes keep what they count together."""
    folder = Path(tempfile.mkdtemp(prefix="crossrank-serve-"))
    mine = FOLDER not in os.environ
    if mine:
        os.environ[FOLDER] = str(folder)
    try:
        yield folder
    finally:
        if mine:
            del os.environ[FOLDER]
        rmtree(folder, ignore_errors=True)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that a byte arrives at for every signal, so that one wait waits for everything."""
    arrived, written = socket.socketpair()
    written.setblocking(False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in OUTER}
    before = signal.set_wakeup_fd(written.fileno())
    try:
        yield arrived
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        arrived.close()
        written.close()


def _forget_counts(pid: int | None) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    if pid is not None:
        mark_process_dead(pid)
