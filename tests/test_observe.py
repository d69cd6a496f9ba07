"""Events: who listens hears each once and whole, nobody is broken by a listener, and no event holds a text."""

import ast
import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker, observe
from crossrank.errors import QueryTooLongError
from crossrank.observe import BatchRan, CacheAsked, Event, ModelOpened, RankingDone
from crossrank.observe import log as observe_log
from crossrank.observe.watch import Watch
from crossrank.remote import BudgetError, Limits, Price, RemoteReranker, Retry, VendorError
from crossrank.testing import FakeVendor, Fault
from loaded import modules_after
from vendors import opened

BATCH = BatchRan(model="m", rows=3, tokens=30)
SOURCES = Path(observe.__file__).parent
PRICE = Price(search_units_1k=2.0)
MARKER = "MARKER-7f3a"


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """What is emitted while the test runs."""
    heard: list[Event] = []
    unsubscribe = observe.subscribe(heard.append)
    yield heard
    unsubscribe()


@pytest.fixture
def server() -> Iterator[FakeVendor]:
    with FakeVendor("cohere") as server:
        yield server


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    """One for all tries of a law."""
    with FakeVendor("cohere") as server:
        yield server


def rankings(events: list[Event]) -> list[RankingDone]:
    return [event for event in events if isinstance(event, RankingDone)]


def test_every_hook_hears_every_event_until_it_is_unsubscribed() -> None:
    """In the order of subscription; ending it twice, or from within a hook, is fine."""
    heard: list[tuple[str, Event]] = []
    first = observe.subscribe(lambda event: heard.append(("first", event)))
    second = observe.subscribe(lambda event: (heard.append(("second", event)), second()))
    assert observe.listening()
    observe.emit(BATCH)
    observe.emit(BATCH)
    first()
    first()
    second()
    observe.emit(BATCH)
    assert heard == [("first", BATCH), ("second", BATCH), ("first", BATCH)]
    assert not observe.listening()


def test_the_same_hook_may_be_subscribed_twice() -> None:
    """It then hears twice, and each subscription ends by itself."""
    heard: list[Event] = []
    ends = [observe.subscribe(heard.append), observe.subscribe(heard.append)]
    observe.emit(BATCH)
    ends[0]()
    observe.emit(BATCH)
    ends[1]()
    assert len(heard) == 3


def test_a_broken_hook_breaks_nothing(caplog: pytest.LogCaptureFixture, events: list[Event]) -> None:
    """It is logged once, goes on to be called, and others hear all."""
    calls = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise ValueError("no")

    ends = [observe.subscribe(broken), observe.subscribe(broken)]
    later: list[Event] = []
    ends.append(observe.subscribe(later.append))
    for _ in range(3):
        observe.emit(BATCH)
    for end in ends:
        end()
    assert (len(calls), len(events), len(later)) == (6, 3, 3)
    failures = [record for record in caplog.records if record.name == "crossrank.observe"]
    assert len(failures) == 2
    assert "broken" in failures[0].getMessage()


def test_a_broken_hook_loses_no_ranking(server: FakeVendor) -> None:
    """The caller gets what it would have got without it."""

    def broken(event: Event) -> None:
        raise OSError("full")

    end = observe.subscribe(broken)
    with opened(server) as reranker:
        assert reranker.rank("ab", ["c", "ab"]).indices == [1, 0]
    end()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
@pytest.mark.property
def test_threads_subscribe_and_emit_at_once(counts: list[int]) -> None:
    """Each thread's own hook hears all that the thread emits while it is subscribed, whatever others do."""
    lacking: list[int] = []

    def run(own: int, count: int) -> None:
        heard: list[Event] = []
        end = observe.subscribe(heard.append)
        mine = [BatchRan(model=str(own), rows=number, tokens=0) for number in range(count)]
        for event in mine:
            observe.emit(event)
        end()
        lacking.extend(own for event in mine if heard.count(event) != 1)

    threads = [threading.Thread(target=run, args=numbered) for numbered in enumerate(counts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lacking
    assert not observe.listening()


def test_opening_a_model_is_an_event(events: list[Event], checkpoint: Callable[..., Path]) -> None:
    """With what "auto" was resolved into; one that cannot be opened is none."""
    with Reranker(str(checkpoint("bert"))) as reranker:
        (event,) = [event for event in events if isinstance(event, ModelOpened)]
        facts = reranker.facts
    assert (event.backend, event.device, event.precision) == (facts.backend, facts.device, facts.precision)
    assert event.model
    assert 0 < event.seconds < 300
    with pytest.raises(OSError, match="no-such"):
        Reranker("./no-such-folder")
    assert len([event for event in events if isinstance(event, ModelOpened)]) == 1


def test_a_ranking_is_one_event(events: list[Event], bundled: Reranker) -> None:
    """Sync, async, of many and of pairs, with counts and seconds; batches are events of their own."""
    documents = ["a fox", "a zebra", "a fox"]
    bundled.rank("fox", documents)
    asyncio.run(bundled.arank("fox", documents))
    list(bundled.rank_many(["fox", "zebra"], [documents, documents]))
    bundled.score([("fox", "a"), ("zebra", "b")])
    asyncio.run(bundled.ascore([("fox", "a")]))
    heard = rankings(events)
    assert [event.call for event in heard] == ["rank", "rank", "rank_many", "rank_many", "score", "score"]
    assert [event.documents for event in heard] == [3, 3, 3, 3, 2, 1]
    assert [event.pairs for event in heard] == [2, 2, 2, 2, 2, 1]
    assert {(event.model, event.outcome) for event in heard} == {("crossrank-mini", "ok")}
    assert all(event.tokens > 0 and event.total_s >= event.run_s > 0 for event in heard)
    batches = [event for event in events if isinstance(event, BatchRan)]
    assert sum(event.rows for event in batches) == sum(event.pairs for event in heard)
    assert sum(event.tokens for event in batches) == sum(event.tokens for event in heard)


def test_a_ranking_that_fails_is_one_event(events: list[Event], bundled: Reranker) -> None:
    """With the class of the error, as far as there was a ranking to begin."""
    with pytest.raises(QueryTooLongError):
        bundled.rank("word " * 600, ["a"])
    (event,) = rankings(events)
    assert (event.call, event.documents, event.pairs, event.outcome) == ("rank", 1, 0, "QueryTooLongError")


def test_a_remote_ranking_is_one_event(server: FakeVendor, events: list[Event]) -> None:
    """Sync, async, of many and of pairs, with counts, seconds and cost; what is cached costs nothing."""
    documents = ["a", "b", "ab", "a"]
    with RemoteReranker("cohere:rerank-v3.5", api_key="k", base_url=server.url, price=PRICE, cache="memory") as one:
        one.rank("ab", documents)
        asyncio.run(one.arank("ab", documents))
        list(one.rank_many(["ab", "b"], [documents, documents]))
        one.score([("a", "x"), ("b", "y"), ("b", "z")])
        spent = one.spent_usd
    heard = rankings(events)
    assert [event.call for event in heard] == ["rank", "rank", "rank_many", "rank_many", "score"]
    assert [(event.documents, event.pairs, event.cached) for event in heard[:2]] == [(4, 3, 0), (4, 0, 3)]
    assert {(event.model, event.outcome) for event in heard} == {("cohere:rerank-v3.5", "ok")}
    assert heard[0].search_units == 1
    assert heard[0].cost_usd == pytest.approx(0.002)
    assert heard[1].cost_usd == 0
    assert sum(event.cost_usd for event in heard) == pytest.approx(spent)
    assert heard[4].documents == heard[4].pairs == 3
    assert all(event.total_s >= event.run_s > 0 for event in heard if event.pairs and event.call == "rank")


def test_a_failed_ranking_is_one_event_too(server: FakeVendor, events: list[Event], bundled: Reranker) -> None:
    """With the class of the error, the tries, and what was billed before it; a fallback answers for itself."""
    retry = Retry(retries=1, first_s=0.001)
    with opened(server, price=PRICE, retry=retry, cost_max_usd=0.002, concurrency=1) as reranker:
        server.faults.extend([Fault(status=500), Fault(status=500)])
        with pytest.raises(VendorError):
            reranker.rank("ab", ["a"])
        reranker.rank("ab", ["a"])
        with pytest.raises(BudgetError):
            reranker.rank("ab", ["b"])
    assert [(event.outcome, event.retries) for event in rankings(events)] == [
        ("VendorError", 1),
        ("ok", 0),
        ("BudgetError", 0),
    ]
    events.clear()
    server.faults.append(Fault(status=400))
    with opened(server, fallback=bundled) as reranker:
        reranker.rank("ab", ["a"])
    (failed,) = [event for event in rankings(events) if event.model == "cohere:rerank-v4.0-pro"]
    assert failed.outcome == "VendorError"


def test_what_was_billed_before_a_failure_counts(server: FakeVendor, events: list[Event]) -> None:
    """Of a ranking in two calls, the second of which fails, the first is in `spent` and in the event."""
    server.faults.extend([Fault(), Fault(status=400)])
    limits = Limits(documents_max=1)
    with opened(server, price=PRICE, limits=limits, concurrency=1) as reranker:
        with pytest.raises(VendorError):
            reranker.rank("ab", ["a", "b"])
        assert reranker.spent["search_units"] == 1
        assert reranker.spent_usd == pytest.approx(0.002)
    (event,) = rankings(events)
    assert (event.outcome, event.search_units, event.pairs) == ("VendorError", 1, 1)
    assert event.cost_usd == pytest.approx(0.002)


def test_a_cancelled_ranking_is_one_event(server: FakeVendor, events: list[Event]) -> None:
    """Whoever gave up is counted, as everyone is."""
    server.faults.append(Fault(hang=True))

    async def give_up() -> None:
        async with opened(server) as reranker:
            task = asyncio.create_task(reranker.arank("ab", ["a"]))
            await asyncio.to_thread(server.await_call)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    assert [event.outcome for event in rankings(events)] == ["CancelledError"]


def test_a_watch_tells_of_what_it_was_told() -> None:
    """Notes add up; without a listener nothing is made."""
    heard: list[Event] = []
    with Watch("m", "rank", 5):
        pass
    end = observe.subscribe(heard.append)
    with suppress(KeyError), Watch("m", "score", 5) as watch:
        watch.note({"pairs": 2, "tokens": 7, "documents": 99, "cost_nanousd": 1500}, {"queue": 0.5, "total": 9.0})
        watch.note({"pairs": 1, "cached": 2}, {"queue": 0.25, "run": 1.0})
        raise KeyError
    end()
    (event,) = rankings(heard)
    assert (event.call, event.documents, event.pairs, event.cached, event.tokens) == ("score", 5, 3, 2, 7)
    assert (event.queue_s, event.run_s, event.cost_usd, event.outcome) == (0.75, 1.0, 1.5e-6, "KeyError")
    assert 0 < event.total_s < 300


def test_events_are_values_that_cannot_hold_a_text() -> None:
    """Frozen; every field is a number or one of a few names."""
    allowed = {"model", "call", "outcome", "tier", "backend", "device", "precision"}
    for kind in get_args(Event):
        texts = {field.name for field in fields(kind) if field.type in (str, "str")}
        assert texts <= allowed
        assert {field.type for field in fields(kind)} <= {str, int, float, float | None}
    with pytest.raises(AttributeError):
        BATCH.rows = 4  # type: ignore[misc]


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=4), st.sampled_from([200, 400, 500]))
@pytest.mark.property
def test_no_text_is_in_any_event_or_line(vendor: FakeVendor, query: str, documents: list[str], status: int) -> None:
    """Whatever is asked, whether it goes well or not, even where a vendor repeats it in its error."""
    texts = [MARKER + text.encode("utf-8", "replace").decode() for text in (query, *documents)]
    lines: list[str] = []
    heard: list[Event] = []
    logger = logging.getLogger("crossrank.test.kept")
    logger.setLevel(logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    with ExitStack() as stack:
        stack.callback(observe.subscribe(heard.append))
        stack.callback(observe.to_log(logger))
        stack.callback(logger.removeHandler, handler)
        reranker = stack.enter_context(opened(vendor, api_key=f"{MARKER}-key", retry=Retry(retries=0)))
        vendor.faults.clear()  # without documents nothing is asked, and the last one is still there
        if status != 200:
            vendor.faults.append(Fault(status=status, body=json.dumps({"message": texts[0]}).encode()))
        try:
            reranker.rank(texts[0], texts[1:])
        except VendorError:
            assert status != 200
    assert [type(event) for event in heard] == [*[CacheAsked] * bool(documents), RankingDone]
    assert len(lines) == len(heard)
    assert MARKER not in repr(heard)
    assert MARKER not in "".join(lines)


def test_lines_are_json(caplog: pytest.LogCaptureFixture) -> None:
    """One a line, with its kind; failures are warnings; a level that is off costs nothing."""
    with caplog.at_level(logging.INFO, "crossrank.events"):
        end = observe.to_log()
        for event in (
            BATCH,
            CacheAsked(tier="memory", hits=1, misses=2),
            RankingDone(model="m", call="rank", documents=0),
        ):
            observe.emit(event)
        observe.emit(RankingDone(model="m", call="rank", documents=1, outcome="OverloadError"))
        end()
        observe.emit(BATCH)
    records = [record for record in caplog.records if record.name == "crossrank.events"]
    assert [record.levelname for record in records] == ["INFO", "INFO", "INFO", "WARNING"]
    lines = [json.loads(record.getMessage()) for record in records]
    assert [line["event"] for line in lines] == ["BatchRan", "CacheAsked", "RankingDone", "RankingDone"]
    assert lines[1]["hits"] == 1
    assert lines[1]["age_s"] is None
    silent = logging.getLogger("crossrank.test.silent")
    silent.setLevel(logging.ERROR)
    end = observe.to_log("crossrank.test.silent")
    observe.emit(BATCH)
    end()


@given(
    st.builds(
        ModelOpened,
        model=st.text(),
        backend=st.text(),
        device=st.text(),
        precision=st.text(),
        seconds=st.floats(0, 1e9),
        at=st.floats(0, 1e12),
    )
)
@pytest.mark.property
def test_a_line_holds_the_whole_event(event: ModelOpened) -> None:
    """And is one line, whatever is in a model's name."""
    line = observe_log.line(event)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    assert found.pop("event") == "ModelOpened"
    assert found == pytest.approx(asdict(event), abs=1e-6)


def test_whoever_emits_loads_no_sink() -> None:
    """Nor a library of one; what a ranking emits to nobody is never made."""
    loaded = modules_after("import crossrank; crossrank.Reranker().rank('q', ['a']); import crossrank.remote")
    assert "crossrank.observe" in loaded
    assert not loaded & {f"crossrank.observe.{name}" for name in ("log", "prometheus", "otel")}
    assert not {name for name in loaded if name.startswith(("prometheus_client", "opentelemetry"))}


def test_events_and_hooks_know_the_standard_library_only() -> None:
    """They are at the bottom: everything else may emit."""
    for name in ("events", "hooks", "watch"):
        tree = ast.parse((SOURCES / f"{name}.py").read_text(encoding="utf-8"))
        ours = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and "crossrank" in str(node.module)
        }
        assert all(str(module).startswith("crossrank.observe") for module in ours)


def test_a_name_that_is_not_there() -> None:
    """Is an AttributeError, as of any module."""
    for name in observe.__all__:
        assert getattr(observe, name) is not None
    with pytest.raises(AttributeError, match="to_statsd"):
        observe.to_statsd  # noqa: B018
