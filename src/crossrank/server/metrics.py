"""What is counted of HTTP, and the page with that and all that crossrank.observe counts, for Prometheus.

It knows routes, statuses and sizes; never a text or a key.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crossrank.errors import MissingExtra

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.samples import Sample

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the worker processes of one server keep what they count
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BYTES = tuple(4.0**power for power in range(4, 14))  # 256 bytes to 64 MB
DOCUMENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one server process."""

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as exc:
            raise MissingExtra("prometheus-client is not installed. Run: pip install 'crossrank[server]'") from exc
        from crossrank.observe import to_prometheus

        registry = CollectorRegistry()
        self._registry = registry
        self._end: Callable[[], None] = to_prometheus(registry)
        self._requests = Counter(
            "crossrank_http_requests", "Requests that were answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "crossrank_http_request_seconds",
            "Seconds from a request's headers to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "crossrank_http_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self._bytes = Histogram("crossrank_http_body_bytes", "Bytes of a call.", buckets=BYTES, registry=registry)
        self._documents = Histogram(
            "crossrank_http_documents", "Documents of a call.", buckets=DOCUMENTS, registry=registry
        )
        self._refused = Counter(
            "crossrank_http_refusals", "Calls that were refused, by cause.", ("code",), registry=registry
        )

    def came(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def answered(self, route: str, status: int, seconds: float, facts: dict[str, object]) -> None:
        """A request was answered; `facts` are those of its line in the log. 499: its client has hung up."""
        self._in_flight.dec()
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if isinstance(body := facts.get("body"), int):
            self._bytes.observe(body)
        if isinstance(documents := facts.get("documents"), int):
            self._documents.observe(documents)
        if isinstance(code := facts.get("code"), str):
            self._refused.labels(code).inc()

    def page(self) -> bytes:
        """All of it, of all workers together where there are several."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._everywhere()))

    def samples(self) -> "Iterator[Sample]":
        """Each number of the page, with its name and labels."""
        for family in self._everywhere().collect():
            yield from family.samples

    def close(self) -> None:
        """Count no more."""
        self._end()

    def _everywhere(self) -> "CollectorRegistry":
        if FOLDER not in os.environ:
            return self._registry
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        registry.register(_Together(Path(os.environ[FOLDER])))
        return registry


class _Together:
    """What all processes of a server have counted, of the files in their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> "Iterable[Metric]":
        """Each series, added up."""
        from prometheus_client.multiprocess import MultiProcessCollector

        # A file that a worker is just making is empty for a moment, over which the library would stumble.
        files = [str(file) for file in self._folder.glob("*.db") if _size(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)
        return merged


def _size(file: Path) -> int:
    """Bytes; 0 of a file that is gone meanwhile, as those of dead workers are."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
