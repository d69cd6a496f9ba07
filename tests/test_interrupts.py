"""Ctrl+C, wherever it ends a call: nothing is left behind that another call, or another thread, would wait for."""

import dis
import gc
import os
import signal
import subprocess
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from crossrank import Reranker
from crossrank.engine.pair import Pair
from crossrank.remote import RemoteReranker
from crossrank.testing import FakeVendor
from crossrank.threads import Promise, begin_thread
from fakes import BOUND_S, left_waiting

LOOKS = {
    "CALL",
    "CALL_KW",
    "CALL_FUNCTION_EX",
    "RESUME",
    "JUMP_BACKWARD",
}  # instructions after which CPython looks for signals
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
NEVER_AWAITED = "ignore:coroutine .* was never awaited:RuntimeWarning"  # of a call that ends before it has begun
SOME, ALL = 1 / 8, 2.0  # see interrupt_at_places
QUERY, DOCUMENTS = "fox", [f"the quick brown fox {number}" for number in range(20)]


@cache
def instructions(code: CodeType) -> dict[int, str]:
    return {one.offset: one.opname for one in dis.get_instructions(code)}


class Interruption:
    """Ctrl+C in this thread at one of the places where a call can be ended, counted from its beginning.

    Attributes:
        places: that were passed, each with the functions that it was reached through.
        came: what ended the call. As long as it is held so are the frames that it came through, as in a notebook.
    """

    def __init__(self, number: int) -> None:
        self.number, self.places = number, list[tuple[object, ...]]()
        self.came: KeyboardInterrupt | None = None

    def during(self, call: Callable[[], object]) -> bool:
        """Whether it came in the middle of the call."""
        before = sys.gettrace()
        gc.disable()  # what comes while garbage is collected is lost, in any program
        sys.settrace(self._enter)
        try:
            call()
        except KeyboardInterrupt as exc:
            self.came = exc
        finally:
            sys.settrace(before)
            gc.enable()
        return self.came is not None

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if len(self.places) > self.number:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        if event == "opcode" and instructions(frame.f_code).get(frame.f_lasti) in LOOKS:
            callers = [frame, *islice(callers_of(frame), 3)]
            self.places.append(tuple((one.f_code, one.f_lasti) for one in callers))
            if len(self.places) == self.number + 1:
                for _ in map(interrupt_main, (signal.SIGINT,)):  # a loop: after it, CPython does not look in here
                    return self._step
        return self._step


def callers_of(frame: FrameType) -> Iterator[FrameType]:
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        yield frame


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("bert", hidden=48))


@pytest.fixture
def remote() -> Iterator[RemoteReranker]:
    with FakeVendor("cohere") as vendor, RemoteReranker("cohere:x", api_key="k", base_url=vendor.url) as ranker:
        yield ranker


Checks = Callable[[], object]


def interrupt(call: Callable[[], object], prepare: Callable[[], Checks], number: int) -> bool:
    """Whether there was such a place; the checks hold then, in another thread and in this one."""
    checks, one = prepare(), Interruption(number)
    came = one.during(call)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(checks).result(BOUND_S)
    checks()
    return came


def interrupt_at_places(call: Callable[[], object], prepare: Callable[[], Checks], share: float) -> None:
    """At a share of the places that differ in how they are reached, or of all that are passed, again and again."""
    call()
    checks, counted = prepare(), Interruption(sys.maxsize)
    assert not counted.during(call)
    checks()
    first = {place: number for number, place in reversed([*enumerate(counted.places)])}
    numbers = sorted(first.values()) if share <= 1 else range(len(counted.places))
    tried = numbers[:: round(1 / min(share, 1))]
    assert len(tried) > 20
    came = [interrupt(call, prepare, number) for number in tried]
    assert sum(came) > 0.5 * len(came)  # another thread may take a part of the work, and then there are fewer places


def check_local(folder: str, share: float, **options: Any) -> None:
    """In the thread that serves two others, who get their scores all the same, as whoever comes next does."""
    with Reranker(folder, **options) as reranker, Reranker(folder, cache=None) as plain:
        asked = iter(range(sys.maxsize))

        def pairs() -> list[tuple[str, str]]:
            """That no cache knows."""
            number = next(asked)
            return [(QUERY, f"{number} {text}") for text in DOCUMENTS]

        def prepare() -> Checks:
            others = [pairs() for _ in range(2)]
            works = [left_waiting(reranker._engine, [Pair(*pair) for pair in other]) for other in others]

            def checks() -> None:
                fresh = pairs()
                assert reranker.score(fresh, raw=True).tolist() == plain.score(fresh, raw=True).tolist()
                for work, other in zip(works, others, strict=True):
                    results = work.promise.result(BOUND_S).results
                    assert [results[Pair(*pair)].logit for pair in other] == plain.score(other, raw=True).tolist()

            return checks

        def start() -> None:
            """As an event loop does, which is interrupted in a notebook."""
            reranker._engine.start(reranker._engine.work([Pair(*pair) for pair in pairs()]))

        interrupt_at_places(lambda: reranker.score(pairs()), prepare, share)
        interrupt_at_places(start, prepare, 2 * share)


def check_remote(ranker: RemoteReranker, share: float) -> None:
    """All remote rankers of a program share a thread, which goes on."""
    expected = ranker.rank(QUERY, DOCUMENTS).scores

    def checks() -> None:
        assert ranker.rank(QUERY, DOCUMENTS).scores == expected

    interrupt_at_places(lambda: ranker.rank(QUERY, DOCUMENTS), lambda: checks, share)
    gc.collect()  # of what was never awaited, while nobody is to be warned of it


def test_a_call_is_interrupted(folder: str) -> None:
    check_local(folder, 1, cache=None)


def test_a_call_with_a_cache_in_a_file_is_interrupted(folder: str, tmp_path: Path) -> None:
    """Whatever is kept of the traceback."""
    check_local(folder, SOME, cache=f"sqlite:///{tmp_path / 'scores.db'}")


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores of Linux")
def test_a_call_on_replicas_is_interrupted(folder: str) -> None:
    check_local(folder, SOME, cache=None, replicas=2)


@pytest.mark.filterwarnings(NEVER_AWAITED)
def test_a_remote_call_is_interrupted(remote: RemoteReranker) -> None:
    check_remote(remote, 1)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("options", [{}, {"cache": "sqlite"}, {"replicas": 2}], ids=["plain", "file", "replicas"])
def test_calls_are_interrupted_everywhere(options: dict[str, Any], folder: str, tmp_path: Path) -> None:
    """At each place."""
    cache = f"sqlite:///{tmp_path / 'scores.db'}" if "cache" in options else None
    check_local(folder, ALL, **options | {"cache": cache})


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.filterwarnings(NEVER_AWAITED)
def test_remote_calls_are_interrupted_everywhere(remote: RemoteReranker) -> None:
    check_remote(remote, ALL)


def test_a_thread_is_begun_whatever_comes() -> None:
    """Ctrl+C in the middle of that is heard when the thread is at its work; before, there is no thread."""
    number, reached = 0, True
    while reached:
        work: Promise[None] = Promise()
        threads = threading.active_count()
        one = Interruption(number)
        one.during(lambda work=work: begin_thread(lambda: work.give(None), "begun"))  # type: ignore[misc]
        begun = work.wait(BOUND_S if one.came is None or "start" in places_of(one.came) else 0.0)
        assert begun or threading.active_count() == threads
        reached, number = len(one.places) > number, number + 1
    assert number > 10


SUBINTERPRETER = """
import _xxsubinterpreters as interpreters
interpreters.run_string(interpreters.create(isolated=False), '''
from crossrank.threads import Promise, begin_thread
work = Promise()
begin_thread(lambda: work.give("given"), "begun")
print(work.result(60), flush=True)
''')
"""


def test_a_thread_is_begun_in_a_subinterpreter() -> None:
    """As of a web server that has one for each application; no signal is heard there."""
    pytest.importorskip("_xxsubinterpreters")
    done = subprocess.run([sys.executable, "-c", SUBINTERPRETER], capture_output=True, timeout=240, check=True)
    assert done.stdout == b"given\n"


def places_of(error: BaseException) -> set[str]:
    """The functions that it came through."""
    names, traceback = set[str](), error.__traceback__
    while traceback is not None:
        names.add(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


# ---- promises


def test_a_promise_is_told_to_all_and_kept() -> None:
    """Those who wait in threads, those who are called, and whoever asks later; the first result stays."""
    promise: Promise[int] = Promise()
    called: list[str] = []
    promise.when_done(lambda: called.append("before"))
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(promise.result, BOUND_S) for _ in range(3)]
        promise.give(7)
        assert [one.result(BOUND_S) for one in waiting] == [7, 7, 7]
    promise.give(8)
    promise.fail(ValueError("too late"))
    promise.when_done(lambda: called.append("after"))
    assert promise.result() == 7
    assert set(called) == {"before", "after"}


def test_a_promise_that_fails_raises_the_error_wherever_it_is_asked() -> None:
    promise: Promise[int] = Promise()
    promise.fail(ZeroDivisionError("so"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="so"):
            promise.result()


def test_waiting_for_a_promise_is_bounded() -> None:
    """By what is given, be it nothing, less or without end."""
    promise: Promise[int] = Promise()
    assert not promise.wait(0.0)
    assert not promise.wait(-1.0)
    with pytest.raises(TimeoutError):
        promise.result(0.001)
    promise.give(1)
    assert promise.wait(float("inf"))


def test_withdrawing_is_told_once_it_matters() -> None:
    """Not when it is done already."""
    told: list[int] = []
    promise: Promise[int] = Promise(lambda: told.append(1))
    promise.withdraw()
    assert promise.withdrawn
    done: Promise[int] = Promise(lambda: told.append(2))
    done.give(0)
    done.withdraw()
    assert told == [1]
