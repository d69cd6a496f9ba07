"""A call's spans belong to the trace of who calls: W3C's `traceparent` is the current context while it is answered.

It knows headers; not what is traced.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crossrank.server.http import Request


def start_tracing() -> Callable[[], None]:
    """Make spans of what happens from now on; what comes back ends that.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """
    from crossrank.observe import to_otel

    return to_otel()


@contextmanager
def traced(request: Request) -> Iterator[None]:
    """Put what happens within it into the trace of who calls."""
    from opentelemetry import context, propagate

    names = (b"traceparent", b"tracestate")
    carried = {name.decode(): request.headers[name].decode("latin-1") for name in names if name in request.headers}
    token = context.attach(propagate.extract(carried))
    try:
        yield
    finally:
        context.detach(token)
