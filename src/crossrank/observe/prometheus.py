"""Events as metrics of Prometheus: counters and histograms, labelled by model; docs/observability.md lists them.

It knows events and metrics; not how they are served.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from crossrank.errors import MissingExtra, UsageError
from crossrank.observe.events import OK, STAGES, BatchRan, CacheAsked, Event, ModelOpened, RankingDone
from crossrank.observe.hooks import Unsubscribe, subscribe

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def to_prometheus(registry: "CollectorRegistry | None" = None) -> Unsubscribe:
    """Count every event in metrics of `registry`; what comes back ends that and takes them out of it again.

    Args:
        registry: a `prometheus_client.CollectorRegistry`; by default the process's own, `prometheus_client.REGISTRY`.

    Raises:
        MissingExtra: prometheus-client is not installed.
        UsageError: the registry has these metrics already.
    """
    metrics = _Metrics(_default_registry() if registry is None else registry)
    unsubscribe = subscribe(metrics.take)

    def end() -> None:
        unsubscribe()
        metrics.unregister()

    return end


class _Metrics:
    """The metrics, and what each kind of event does to them."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        self._registry = registry
        self._made: list[Counter | Histogram] = []
        self.requests = self._counter(
            "requests", "Rankings that ended, by outcome: ok or the error.", "call", "outcome"
        )
        self.documents = self._counter("documents", "Documents that were given to be ranked.")
        self.pairs = self._counter("pairs", "Pairs that went through the model.")
        self.cached = self._counter("cached_pairs", "Pairs whose score was known.")
        self.tokens = self._counter("tokens", "Tokens that the model read, or that a vendor billed.")
        self.errors = self._counter("errors", "Rankings that failed, by the class of the error.", "error")
        self.overloads = self._counter("overloads", "Calls refused because too much was waiting.")
        self.retries = self._counter("remote_retries", "Tries after the first.")
        self.units = self._counter("remote_search_units", "Search units that a vendor billed.")
        self.cost = self._counter("remote_cost_dollars", "What vendors take, by estimate.")
        self.stages = self._histogram("stage_seconds", "Seconds of a ranking by stage.", SECONDS, "model", "stage")
        self.rows = self._histogram("batch_rows", "Sequences that went through the model together.", SIZES, "model")
        self.callers = self._histogram("batch_callers", "Callers who shared a batch.", SIZES, "model")
        self.hits = self._counter("cache_hits", "Keys that a cache knew.", labels=("tier",))
        self.misses = self._counter("cache_misses", "Keys that a cache did not know.", labels=("tier",))
        self.asked = self._histogram("cache_seconds", "Seconds until a cache answered.", SECONDS, "tier")
        self.opened = self._counter(
            "models_opened", "Models that were opened.", labels=("model", "backend", "device", "precision")
        )
        self.opening = self._histogram("model_open_seconds", "Seconds to open a model.", SECONDS, "model")

    def take(self, event: Event) -> None:
        match event:
            case RankingDone():
                self._ranking(event)
            case BatchRan(model=model, rows=rows, callers=callers):
                self.rows.labels(model).observe(rows)
                self.callers.labels(model).observe(callers)
            case CacheAsked(tier=tier, hits=hits, misses=misses, seconds=seconds):
                self.hits.labels(tier).inc(hits)
                self.misses.labels(tier).inc(misses)
                self.asked.labels(tier).observe(seconds)
            case ModelOpened(model=model, backend=backend, device=device, precision=precision, seconds=seconds):
                self.opened.labels(model, backend, device, precision).inc()
                self.opening.labels(model).observe(seconds)

    def _ranking(self, event: RankingDone) -> None:
        self.requests.labels(event.model, event.call, event.outcome).inc()
        counts = {
            self.documents: event.documents,
            self.pairs: event.pairs,
            self.cached: event.cached,
            self.tokens: event.tokens,
            self.retries: event.retries,
            self.units: event.search_units,
            self.cost: event.cost_usd,
        }
        for counter, count in counts.items():
            counter.labels(event.model).inc(count)
        for stage in (*STAGES, "total"):
            self.stages.labels(event.model, stage).observe(getattr(event, f"{stage}_s"))
        if event.outcome != OK:
            self.errors.labels(event.model, event.outcome).inc()
        if event.outcome == "OverloadError":
            self.overloads.labels(event.model).inc()

    def unregister(self) -> None:
        while self._made:
            self._registry.unregister(self._made.pop())

    def _counter(self, name: str, meaning: str, *more: str, labels: Sequence[str] = ("model",)) -> "Counter":
        from prometheus_client import Counter

        return self._kept(partial(Counter, f"crossrank_{name}", meaning, (*labels, *more), registry=self._registry))

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float], *labels: str) -> "Histogram":
        from prometheus_client import Histogram

        name = f"crossrank_{name}"
        return self._kept(partial(Histogram, name, meaning, labels, registry=self._registry, buckets=buckets))

    def _kept(self, make: Callable[[], Any]) -> Any:
        try:
            self._made.append(make())
        except ValueError as exc:
            self.unregister()
            raise UsageError(
                f"this registry counts crossrank's events already ({exc}); call what to_prometheus() gave to end that, "
                "or give another registry"
            ) from exc
        return self._made[-1]


def _default_registry() -> "CollectorRegistry":
    try:
        from prometheus_client import REGISTRY
    except ImportError as exc:
        raise MissingExtra("prometheus-client is not installed. Run: pip install 'crossrank[prometheus]'") from exc
    return REGISTRY
