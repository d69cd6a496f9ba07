"""Many callers, one engine: who is served when, and that everybody gets an answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import CrossrankError, Reranker
from crossrank.backends.contract import Batch, Limits, Logits, Pending
from crossrank.engine.cache import MemoryCache
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Outcome, Scorer
from crossrank.errors import NotFiniteError, OverloadError, UsageError
from crossrank.observe import BatchRan, RankingDone, subscribe
from crossrank.schedule.scheduler import Scheduler
from crossrank.schedule.turn import CHARACTERS_MIN
from crossrank.schedule.work import Work
from crossrank.testing import FakeBackend
from fakes import BOUND_S, GatedBackend, schedulers

LONG = "fox " * (CHARACTERS_MIN // 8)  # two of these fill a micro-batch


@pytest.fixture(scope="module")
def scorer(checkpoint: Callable[..., Path]) -> Scorer:
    return open_scorer(OpenConfig(str(checkpoint("bert")), long_documents="truncate", cache=None))


@pytest.fixture
def backend() -> Iterator[GatedBackend]:
    backend = GatedBackend()
    yield backend
    backend.open()


def begun(engine: Scheduler, *texts: str, **options: object) -> Work:
    """Work on these texts that was begun without waiting for it."""
    work = engine.work([Pair("query", text) for text in texts], **options)
    engine.start(work)
    return work


def texts_of(work: Work) -> list[str]:
    return [pair.document for pair in work.promise.result(BOUND_S).results]


class Ends:
    """The names of works, in the order in which they end; made before any of them can."""

    def __init__(self, works: dict[str, Work]) -> None:
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._count = len(works)
        for name, work in works.items():
            work.promise.when_done(partial(self._ended.put, name))

    def order(self) -> list[str]:
        return [self._ended.get(timeout=BOUND_S) for _ in range(self._count)]


def test_callers_who_wait_share_the_next_micro_batch(scorer: Scorer, backend: GatedBackend) -> None:
    """While one is served, the others come together; then their rows go through the model as one batch."""
    engine = schedulers(scorer, backend)
    first = begun(engine, "a")
    backend.await_batch()
    others = [begun(engine, f"b{i}", f"c{i}") for i in range(5)]
    backend.open()
    assert texts_of(first) == ["a"]
    assert [texts_of(work) for work in others] == [[f"b{i}", f"c{i}"] for i in range(5)]
    assert [len(batch.offsets) - 1 for batch in backend.batches] == [1, 10]


def test_equal_pairs_of_several_callers_go_through_the_model_once(scorer: Scorer, backend: GatedBackend) -> None:
    """Each gets the answer; the first is said to have had it computed."""
    engine = schedulers(scorer, backend)
    begun(engine, "a")
    backend.await_batch()
    works = [begun(engine, "same", "too") for _ in range(4)]
    backend.open()
    outcomes = [work.promise.result(BOUND_S) for work in works]
    assert [len(outcome.results) for outcome in outcomes] == [2, 2, 2, 2]
    assert [len(outcome.fresh) for outcome in outcomes] == [2, 0, 0, 0]
    assert [len(batch.offsets) - 1 for batch in backend.batches] == [1, 2]


def test_what_was_learnt_while_a_caller_waited_is_not_computed_again(scorer: Scorer, backend: GatedBackend) -> None:
    """One flight for a stampede: who asks for what is being computed finds it in the cache when it is their turn."""
    engine = schedulers(replace(scorer, cache=MemoryCache()), backend)
    begun(engine, "a", "b")
    backend.await_batch()
    works = [begun(engine, "b", "a") for _ in range(3)]
    backend.open()
    assert all(len(texts_of(work)) == 2 for work in works)
    assert [len(batch.offsets) - 1 for batch in backend.batches] == [2]


def test_a_short_call_is_not_kept_by_a_long_one(scorer: Scorer, backend: GatedBackend) -> None:
    """A long call is served in micro-batches, between which whoever waited longer has their turn."""
    engine = schedulers(scorer, backend, clock=lambda: 0.0)  # a speed that is never known: the smallest micro-batches
    works = {"long": begun(engine, *(f"{i} {LONG}" for i in range(10)))}
    backend.await_batch()
    works["short"] = begun(engine, "short")
    ends = Ends(works)
    backend.open()
    assert ends.order() == ["short", "long"]


def test_priority_goes_first_and_nobody_starves(scorer: Scorer, backend: GatedBackend) -> None:
    """A step of priority is worth ten seconds of waiting, not more."""
    now = [0.0]
    engine = schedulers(scorer, backend, clock=lambda: now[0])
    begun(engine, "a")
    backend.await_batch()
    works = {"patient": begun(engine, f"1 {LONG}{LONG}")}
    now[0] = 5.0
    works["urgent"] = begun(engine, f"2 {LONG}{LONG}", priority=1)
    now[0] = 16.0
    works["too late"] = begun(engine, f"3 {LONG}{LONG}", priority=1)
    ends = Ends(works)
    backend.open()
    assert ends.order() == ["urgent", "patient", "too late"]


def test_priority_lasts(scorer: Scorer, backend: GatedBackend) -> None:
    """Beyond the first of several micro-batches."""
    now = [0.0]
    engine = schedulers(scorer, backend, clock=lambda: now[0])
    begun(engine, "a")
    backend.await_batch()
    works = {"patient": begun(engine, f"1 {LONG}{LONG}")}
    now[0] = 5.0
    works["urgent"] = begun(engine, *(f"{i} {LONG}{LONG}" for i in range(2, 5)), priority=1)
    ends = Ends(works)
    backend.open()
    assert ends.order() == ["urgent", "patient"]


def test_cancelled_work_is_not_computed(scorer: Scorer, backend: GatedBackend) -> None:
    """Its pairs never reach the model."""
    engine = schedulers(scorer, backend)
    first = begun(engine, "a")
    backend.await_batch()
    gone, stays = begun(engine, "gone"), begun(engine, "stays")
    gone.promise.withdraw()
    backend.open()
    assert texts_of(first) + texts_of(stays) == ["a", "stays"]
    assert sum(len(batch.offsets) - 1 for batch in backend.batches) == 2


def test_a_deadline_ends_the_waiting_of_whoever_is_not_served(scorer: Scorer, backend: GatedBackend) -> None:
    """The engine is busy with somebody else for longer than that; nothing of the late call is computed afterwards."""
    engine = schedulers(scorer, backend)
    busy = begun(engine, "a")
    backend.await_batch()
    late = engine.work([Pair("query", "late")], deadline=time.monotonic() + 0.01)
    assert engine.run(late).results == {}
    asleep = engine.work([Pair("query", "asleep")], deadline=time.monotonic() + 0.01)
    assert asyncio.run(engine.arun(asleep)).results == {}
    backend.open()
    assert texts_of(busy) == ["a"]
    assert len(backend.batches) == 1


def test_what_is_under_way_at_the_deadline_is_waited_for(scorer: Scorer, backend: GatedBackend) -> None:
    """It is about to be there, and was paid for."""
    under_way = threading.Event()
    callers: list[int] = []

    def clock() -> float:
        """For the late caller, once its work waits, the deadline is past as soon as that is under way, not before."""
        if threading.get_ident() in callers and (late in engine._waiting or late.under_way):
            assert under_way.wait(BOUND_S)
            return 2.0
        return 0.0

    def ask() -> Outcome:
        callers.append(threading.get_ident())
        return engine.run(late)

    engine = schedulers(scorer, backend, clock=clock)
    begun(engine, "a")
    backend.await_batch()
    late = engine.work([Pair("query", "late")], deadline=1.0)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        while not engine._waiting:
            time.sleep(0)
        backend.gate.release()
        backend.await_batch()
        under_way.set()
        with pytest.raises(TimeoutError):
            asked.result(0.2)
        backend.open()
        assert len(asked.result(BOUND_S).results) == 1


def test_too_much_waiting_is_an_error_that_says_when_to_come_back(scorer: Scorer, backend: GatedBackend) -> None:
    """A call of any size is taken while nobody else waits."""
    engine = schedulers(scorer, backend, waiting_max=5)
    first = begun(engine, *(f"a{i}" for i in range(9)))
    backend.await_batch()
    second = begun(engine, *(f"b{i}" for i in range(9)))
    with pytest.raises(OverloadError, match="9 pairs are waiting") as error:
        begun(engine, "c")
    assert error.value.retry_after_s > 0
    backend.open()
    assert len(texts_of(first)) == len(texts_of(second)) == 9


def test_an_error_is_only_that_of_the_caller_whose_pair_it_is(scorer: Scorer, backend: GatedBackend) -> None:
    """The others who were in the same micro-batch get their results."""
    engine = schedulers(scorer, backend)
    broken = scorer.encoder.tokens(["zebra"])["zebra"].ids[0]
    backend.logit = lambda ids: float("nan") if broken in ids else 1.0
    begun(engine, "a")
    backend.await_batch()
    works = [begun(engine, text) for text in ("fox", "zebra", "dog")]
    backend.open()
    assert texts_of(works[0]) + texts_of(works[2]) == ["fox", "dog"]
    with pytest.raises(NotFiniteError, match="zebra"):
        works[1].promise.result(BOUND_S)


def test_a_bug_in_a_backend_leaves_nobody_waiting(scorer: Scorer) -> None:
    """What it raises, whatever it is, reaches everyone, and the next call is served."""

    class Broken(FakeBackend):
        broken = True

        def run(self, batch: Batch, *, exact: bool = False) -> Logits:
            if self.broken:
                raise ZeroDivisionError
            return super().run(batch, exact=exact)

    backend = Broken(lambda ids: 1.0)
    engine = schedulers(scorer, backend)
    works = [begun(engine, text) for text in "abc"]
    for work in works:
        with pytest.raises(ZeroDivisionError):
            work.promise.result(BOUND_S)
    backend.broken = False
    assert len(engine.run(engine.work([Pair("query", "d")])).results) == 1


def test_a_device_of_its_own_gets_the_next_micro_batch_before_the_last_is_done(scorer: Scorer) -> None:
    """While it computes one, the next is tokenised and begun."""

    class Device(FakeBackend):
        def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
            logits = self.run(batch)
            happened.append("begin")

            def wait() -> Logits:
                happened.append("wait")
                return logits

            return wait

    happened: list[str] = []
    backend = Device(lambda ids: 1.0, Limits(2**20, 2**20, ahead=1))
    engine = schedulers(scorer, backend, clock=lambda: 0.0)
    assert len(engine.run(engine.work(Pair("query", f"{i} {LONG}") for i in range(3))).results) == 3
    assert happened == ["begin", "begin", "wait", "begin", "wait", "wait"]


@pytest.mark.property
@given(calls=st.lists(st.lists(st.text("abcdef ", max_size=6), max_size=8), min_size=1, max_size=8))
def test_every_caller_gets_exactly_what_they_asked_for(scorer: Scorer, calls: list[list[str]]) -> None:
    """Callers in threads and in event loops, all at once: each has a result for each of their pairs, the right one."""
    backend = FakeBackend(lambda ids: float(np.dot(ids, np.arange(1, len(ids) + 1))), Limits(2**20, 2**20))
    engine = schedulers(scorer, backend)
    expected = {
        pair: result.logit
        for pair, result in engine.scorer.score(
            [Pair("query", text) for call in calls for text in call]
        ).results.items()
    }

    def ask(number: int) -> Outcome:
        work = engine.work(Pair("query", text) for text in calls[number])
        return asyncio.run(engine.arun(work)) if number % 2 else engine.run(work)

    with ThreadPoolExecutor(len(calls)) as pool:
        outcomes = list(pool.map(ask, range(len(calls)), timeout=BOUND_S))
    for call, outcome in zip(calls, outcomes, strict=True):
        wanted = {Pair("query", text) for text in call}
        assert {pair: result.logit for pair, result in outcome.results.items()} == {p: expected[p] for p in wanted}


def test_a_hook_that_ranks_does_not_wait_for_itself(scorer: Scorer) -> None:
    """It is told so, and the call that it was called by goes on."""
    engine = schedulers(scorer, FakeBackend(lambda ids: 1.0))
    said: list[str] = []

    def hook(event: object) -> None:
        if isinstance(event, BatchRan):
            with pytest.raises(UsageError, match="would wait for itself") as error:
                engine.run(engine.work([Pair("query", "b")]))
            said.append(str(error.value))

    unsubscribe = subscribe(hook)
    try:
        assert len(engine.run(engine.work([Pair("query", "a")])).results) == 1
    finally:
        unsubscribe()
    assert len(said) == 1


def test_batches_and_rankings_are_told(scorer: Scorer, backend: GatedBackend) -> None:
    """One event a micro-batch, with the callers who shared it, and one a call."""
    events: list[object] = []
    reranker = Reranker(cache=None)
    reranker._engine = engine = schedulers(scorer, backend)
    unsubscribe = subscribe(events.append)
    try:
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(reranker.rank, "query", ["a"])]
            backend.await_batch()
            calls += [pool.submit(reranker.rank, "query", ["b", f"c{i}"]) for i in range(2)]
            while len(engine._waiting) < 2:
                time.sleep(0)
            backend.open()
            assert [len(call.result(BOUND_S)) for call in calls] == [1, 2, 2]
    finally:
        unsubscribe()
    batches = [event for event in events if isinstance(event, BatchRan)]
    assert [(batch.rows, batch.callers) for batch in batches] == [(1, 1), (3, 2)]
    rankings = [event for event in events if isinstance(event, RankingDone)]
    assert sorted((r.call, r.documents, r.pairs, r.outcome) for r in rankings) == [
        ("rank", 1, 1, "ok"),
        ("rank", 2, 1, "ok"),
        ("rank", 2, 2, "ok"),
    ]
    assert all(issubclass(error, CrossrankError) for error in (OverloadError, NotFiniteError))
