"""Replicas in processes of their own end when they are to: with their reranker, and with their parent, not before."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from crossrank import Reranker
from unmeasured import unmeasured

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores of Linux")
BOUND_S = 60  # no wait of a test may be longer


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("bert", hidden=48))


def test_closing_ends_the_processes(folder: str) -> None:
    """And waits for them, so that none is left in the process table."""
    with Reranker(folder, cache=None, replicas=2) as reranker:
        numbers = [slot.backend._process.pid for slot in reranker._engine.scorer.backend._slots]
        reranker.score([("query", "document")])
    until = time.monotonic() + BOUND_S
    while any(Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < until
        time.sleep(0)


@contextmanager
def watched(numbers: Sequence[int]) -> Iterator[Callable[[], bool]]:
    """Whether all of these processes end, waited for."""
    handles = [os.pidfd_open(number) for number in numbers]
    try:
        yield lambda: all(select.select([handle], [], [], BOUND_S)[0] for handle in handles)
    finally:
        for handle in handles:
            os.close(handle)


PROGRAM = """
import os, sys
from crossrank import Reranker
reranker = Reranker(sys.argv[1], cache=None, replicas=2)
pairs = [("fox", f"the quick brown fox {i}") for i in range(20_000)]
if sys.argv[2] == "forked" and os.fork() == 0:
    sys.stdin.read()  # holds what it inherited until the test is over
    os._exit(0)
replicas = [slot.backend for slot in reranker._engine.scorer.backend._slots]
try:
    print(*[replica._process.pid for replica in replicas], flush=True)
    while True:
        reranker.score(pairs)
except KeyboardInterrupt:
    assert len(reranker.rank("fox", ["a", "b"])) == 2
    print("right", replicas == [slot.backend for slot in reranker._engine.scorer.backend._slots], flush=True)
"""


@contextmanager
def program(folder: str, how: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A program that scores for ever, in a group of its own as in a terminal, and its replicas."""
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        env=unmeasured(),
    )
    with running:
        try:
            yield running, [int(number) for number in running.stdout.readline().split()]
        finally:
            running.kill()


@pytest.mark.parametrize("how", ["alone", "forked"])
def test_processes_end_with_a_parent_that_is_killed(how: str, folder: str) -> None:
    """At once, in the middle of a batch; also where a fork of the parent lives on."""
    with program(folder, how) as (running, numbers), watched(numbers) as ended:
        assert len(numbers) == 2
        running.kill()
        assert ended()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_all_are_the_parents_business(number: signal.Signals, folder: str) -> None:
    """Ctrl+C ends the call and not the replicas; what a service's processes are all sent does not reach them."""
    with program(folder, "alone") as (running, numbers), watched(numbers) as ended:
        if number == signal.SIGTERM:
            for replica in numbers:
                os.kill(replica, number)
        os.killpg(running.pid, signal.SIGINT)
        assert running.stdout.readline() == "right True\n"
        assert running.wait(BOUND_S) == 0
        assert ended()
