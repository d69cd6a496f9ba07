"""The sinks: Prometheus and OpenTelemetry, each by itself and together; one that is not installed names its extra."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from crossrank import Reranker, observe
from crossrank.errors import UsageError
from crossrank.observe import BatchRan, CacheAsked, ModelOpened, RankingDone
from crossrank.testing import FakeVendor
from vendors import opened

DONE = RankingDone(
    model="m",
    call="rank",
    documents=5,
    pairs=3,
    cached=2,
    tokens=70,
    queue_s=0.25,
    tokenize_s=0.5,
    run_s=1.0,
    total_s=2.0,
    at=1_000_000_000.0,
)
FAILED = RankingDone(model="m", call="rank", documents=1, outcome="OverloadError", total_s=0.5)
BILLED = RankingDone(model="cohere:m", call="rank", documents=1, search_units=2, cost_usd=0.005, retries=1)
OPENED = ModelOpened(model="m", backend="native", device="cpu", precision="bf16", seconds=0.5, at=1_000_000_000.0)
EVENTS = (
    DONE,
    FAILED,
    BILLED,
    OPENED,
    BatchRan(model="m", rows=30, tokens=700, callers=3),
    CacheAsked(tier="memory", hits=4, misses=1, seconds=0.01),
)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def test_metrics_count_every_kind_of_event() -> None:
    """By model, tier, stage and error."""
    registry = CollectorRegistry()
    end = observe.to_prometheus(registry)
    for event in EVENTS:
        observe.emit(event)
    end_of = {
        'crossrank_requests_total{call="rank",model="m",outcome="ok"}': 1,
        'crossrank_requests_total{call="rank",model="m",outcome="OverloadError"}': 1,
        'crossrank_documents_total{model="m"}': 6,
        'crossrank_pairs_total{model="m"}': 3,
        'crossrank_cached_pairs_total{model="m"}': 2,
        'crossrank_tokens_total{model="m"}': 70,
        'crossrank_errors_total{error="OverloadError",model="m"}': 1,
        'crossrank_overloads_total{model="m"}': 1,
        'crossrank_remote_retries_total{model="cohere:m"}': 1,
        'crossrank_remote_search_units_total{model="cohere:m"}': 2,
        'crossrank_remote_cost_dollars_total{model="cohere:m"}': 0.005,
        'crossrank_stage_seconds_sum{model="m",stage="queue"}': 0.25,
        'crossrank_stage_seconds_count{model="m",stage="total"}': 2,
        'crossrank_batch_rows_sum{model="m"}': 30,
        'crossrank_batch_callers_sum{model="m"}': 3,
        'crossrank_cache_hits_total{tier="memory"}': 4,
        'crossrank_cache_misses_total{tier="memory"}': 1,
        'crossrank_cache_seconds_count{tier="memory"}': 1,
        'crossrank_models_opened_total{backend="native",device="cpu",model="m",precision="bf16"}': 1,
        'crossrank_model_open_seconds_sum{model="m"}': 0.5,
    }
    text = generate_latest(registry).decode()
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert {name: float(found[name]) for name in end_of} == end_of
    end()
    assert generate_latest(registry) == b""
    end()


def test_metrics_stand_in_a_registry_once() -> None:
    """A second time is an error that says what to do, and leaves the first as it was; afterwards they may come back."""
    end = observe.to_prometheus()
    with pytest.raises(UsageError, match="another registry"):
        observe.to_prometheus(REGISTRY)
    observe.emit(DONE)
    assert REGISTRY.get_sample_value("crossrank_documents_total", {"model": "m"}) == 5
    other = observe.to_prometheus(CollectorRegistry())
    end()
    other()
    observe.to_prometheus()()
    assert not observe.listening()


def test_a_ranking_is_a_span_in_the_callers_trace(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """With its times, its counts, and a child for each stage."""
    end = observe.to_otel(provider)
    with provider.get_tracer("app").start_as_current_span("request") as request:
        observe.emit(DONE)
    end()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"request", "crossrank.rank", "crossrank.queue", "crossrank.tokenize", "crossrank.run"}
    ranking = spans["crossrank.rank"]
    assert ranking.parent is not None
    assert ranking.parent.span_id == request.get_span_context().span_id
    assert dict(ranking.attributes or {}) == {
        "crossrank.model": "m",
        "crossrank.documents": 5,
        "crossrank.pairs": 3,
        "crossrank.cached": 2,
        "crossrank.tokens": 70,
    }
    begin = 999_999_998.0
    assert seconds(ranking) == (begin, begin + 2.0)
    stages = [spans[f"crossrank.{stage}"] for stage in ("queue", "tokenize", "run")]
    assert [seconds(span) for span in stages] == [
        (begin, begin + 0.25),
        (begin + 0.25, begin + 0.75),
        (begin + 0.75, begin + 1.75),
    ]
    assert {span.parent.span_id for span in stages if span.parent} == {ranking.context.span_id}


def test_a_span_has_its_parent_wherever_the_work_is_done(
    provider: TracerProvider, exporter: InMemorySpanExporter, bundled: Reranker
) -> None:
    """In threads of ours, in the caller's event loop, or in that of a remote reranker."""
    end = observe.to_otel(provider)
    tracer = provider.get_tracer("app")
    with FakeVendor("cohere") as server, opened(server) as remote:
        for ranker in (bundled, remote):
            with tracer.start_as_current_span("request") as request:
                ranker.rank("a", ["b"])
                list(ranker.rank_many(["a", "c"], [["b"], ["b"]]))
                asyncio.run(ranker.arank("a", ["d"]))
            parents = [span.parent for span in exporter.get_finished_spans() if span.name.startswith("crossrank.rank")]
            assert [parent and parent.span_id for parent in parents] == [request.get_span_context().span_id] * 4
            exporter.clear()
    end()


def test_a_failure_is_an_error_of_its_span(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """With the class of the error; what a vendor takes is an attribute; opening a model is a span of its own."""
    end = observe.to_otel(provider)
    for event in EVENTS:
        observe.emit(event)
    end()
    observe.emit(FAILED)
    spans = exporter.get_finished_spans()
    by_name = [span.name for span in spans if span.parent is None]
    assert by_name == ["crossrank.rank", "crossrank.rank", "crossrank.rank", "crossrank.open"]
    _, failed, billed, opened = [span for span in spans if span.parent is None]
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "OverloadError"
    assert (billed.attributes or {})["crossrank.cost_usd"] == 0.005
    assert seconds(opened) == (999_999_999.5, 1_000_000_000.0)
    assert (opened.attributes or {})["crossrank.backend"] == "native"


def test_stages_never_outlast_their_ranking(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Where they overlapped, their seconds add up to more than the whole."""
    end = observe.to_otel(provider)
    observe.emit(RankingDone(model="m", call="rank", documents=1, tokenize_s=2.0, run_s=3.0, total_s=4.0, at=1e9))
    end()
    ends = [seconds(span)[1] for span in exporter.get_finished_spans()]
    assert max(ends) == 1e9


def test_several_sinks_hear_the_same(
    provider: TracerProvider, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """And each ends by itself."""
    registry, heard = CollectorRegistry(), []
    ends = [
        observe.subscribe(heard.append),
        observe.to_prometheus(registry),
        observe.to_otel(provider),
        observe.to_log("crossrank.test.sinks"),
    ]
    with caplog.at_level(logging.INFO, "crossrank.test.sinks"):
        for event in EVENTS:
            observe.emit(event)
    for end in ends:
        end()
    assert heard == list(EVENTS)
    assert len(caplog.records) == len(EVENTS)
    assert len([span for span in exporter.get_finished_spans() if span.parent is None]) == 4


@pytest.mark.parametrize(("library", "sink"), [("prometheus_client", "prometheus"), ("opentelemetry", "otel")])
def test_a_sink_that_is_not_installed_names_its_extra(library: str, sink: str) -> None:
    """And nothing is subscribed."""
    code = f"""
import sys
sys.modules[{library!r}] = None
from crossrank import Reranker, observe
from crossrank.errors import MissingExtra
try:
    observe.to_{sink}()
except MissingExtra as exc:
    print(exc, observe.listening())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert f"pip install 'crossrank[{sink}]' False" in done.stdout


def seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9, span.end_time / 1e9
