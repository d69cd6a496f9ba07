"""Ctrl+C in a thread that serves others too: it ends that thread's own call, and nobody else's."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from crossrank.backends.contract import Batch, Pending
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Outcome, Scorer
from crossrank.schedule.turn import CHARACTERS_MIN
from crossrank.testing import FakeBackend
from fakes import BOUND_S, GatedBackend, left_waiting, schedulers

LONG = "fox " * (CHARACTERS_MIN // 8)  # two of these fill a micro-batch


@pytest.fixture(scope="module")
def scorer(checkpoint: Callable[..., Path]) -> Scorer:
    return open_scorer(OpenConfig(str(checkpoint("bert")), long_documents="truncate", cache=None))


def test_whoever_is_interrupted_leaves_the_others_their_results(scorer: Scorer) -> None:
    """Ctrl+C ends the call of the thread that happened to serve; what others wait for goes on in another thread."""

    class Interrupted(GatedBackend):
        def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
            if threading.current_thread() is threading.main_thread():
                others.extend(pool.submit(engine.run, engine.work([Pair("query", f"b{i}")])) for i in range(3))
                while len(engine._waiting) < 3:
                    time.sleep(0)
                raise KeyboardInterrupt
            return FakeBackend.begin(self, batch)

    others: list[Future[Outcome]] = []
    engine = schedulers(scorer, Interrupted())
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(KeyboardInterrupt):
            engine.run(engine.work([Pair("query", "a")]))
        assert [len(other.result(BOUND_S).results) for other in others] == [1, 1, 1]
    for thread in threading.enumerate():
        if thread.name == "crossrank-engine":  # it lives a moment longer than the last work
            thread.join(BOUND_S)
    assert engine._server is None


def test_what_an_interrupted_thread_was_serving_is_served_again(scorer: Scorer) -> None:
    """Ctrl+C in the middle of a micro-batch that others share."""

    class Interrupted(FakeBackend):
        turns = 0

        def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
            if threading.current_thread() is threading.main_thread():
                self.turns += 1
                if self.turns == 2:
                    raise KeyboardInterrupt
                others.extend(pool.submit(engine.run, engine.work([Pair("query", f"b{i}")])) for i in range(3))
                while len(engine._waiting) < 4:
                    time.sleep(0)
            return super().begin(batch)

    others: list[Future[Outcome]] = []
    backend = Interrupted(lambda ids: float(len(ids)))
    engine = schedulers(scorer, backend, clock=lambda: 0.0)
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(KeyboardInterrupt):
            engine.run(engine.work([Pair("query", LONG + LONG), Pair("query", "a")]))
        assert [len(other.result(BOUND_S).results) for other in others] == [1, 1, 1]
    assert backend.turns == 2


def test_whoever_is_interrupted_while_handing_over_leaves_one_who_serves(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+C just before the thread is started, or just after: what others wait for is served all the same, once."""
    start = threading.Thread.start
    for started in (False, True):
        backend = FakeBackend(lambda ids: float(len(ids)))
        engine = schedulers(scorer, backend)

        def interrupted(thread: threading.Thread, *, started: bool = started) -> None:
            monkeypatch.setattr(threading.Thread, "start", start)
            if started:
                start(thread)
            raise KeyboardInterrupt

        work, other = engine.work([Pair("query", "a")]), left_waiting(engine, [Pair("query", "other")])
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.start(work)
        assert len(other.promise.result(BOUND_S).results) == 1
        assert not work.promise.result(BOUND_S).results
        assert len(engine.run(engine.work([Pair("query", "b")])).results) == 1
        assert len(backend.batches) == 2
