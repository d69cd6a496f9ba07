"""Rankings as spans of OpenTelemetry: one each, in the caller's own trace, with a child for every stage that took time.

It knows events, which are of the past: spans are made when a ranking has ended, with the times that it had.
"""

from typing import TYPE_CHECKING

from crossrank.errors import MissingExtra
from crossrank.observe.events import OK, STAGES, Event, ModelOpened, RankingDone
from crossrank.observe.hooks import Unsubscribe, subscribe

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

NANO = 1_000_000_000


def to_otel(tracer_provider: "TracerProvider | None" = None) -> Unsubscribe:
    """Make spans of rankings and of opened models.

    A ranking's parent is the span that is current where it was called. Its children follow one another from its
    start, each as long as its stage took in all; stages that overlapped, or came in turns, are shown in a row.

    Args:
        tracer_provider: whose tracer to use; by default the process's own.

    Raises:
        MissingExtra: opentelemetry-api is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError as exc:
        raise MissingExtra("opentelemetry-api is not installed. Run: pip install 'crossrank[otel]'") from exc
    tracer = trace.get_tracer("crossrank", tracer_provider=tracer_provider)

    def take(event: Event) -> None:
        match event:
            case RankingDone():
                _ranking(tracer, event)
            case ModelOpened():
                _opened(tracer, event)
            case _:
                pass  # a batch belongs to several callers' traces, and its seconds are in their stages

    return subscribe(take)


def _ranking(tracer: "Tracer", event: RankingDone) -> None:
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    end = int(event.at * NANO)
    start = end - int(event.total_s * NANO)
    attributes = {
        "crossrank.model": event.model,
        "crossrank.documents": event.documents,
        "crossrank.pairs": event.pairs,
        "crossrank.cached": event.cached,
        "crossrank.tokens": event.tokens,
    }
    if event.cost_usd or event.search_units or event.retries:
        attributes |= {
            "crossrank.cost_usd": event.cost_usd,
            "crossrank.search_units": event.search_units,
            "crossrank.retries": event.retries,
        }
    span = tracer.start_span(f"crossrank.{event.call}", start_time=start, attributes=attributes)
    if event.outcome != OK:
        span.set_attribute("error.type", event.outcome)
        span.set_status(Status(StatusCode.ERROR))
    inside = set_span_in_context(span)
    begin = start
    for stage in STAGES:
        if seconds := getattr(event, f"{stage}_s"):
            until = min(end, begin + int(seconds * NANO))
            tracer.start_span(f"crossrank.{stage}", context=inside, start_time=begin).end(until)
            begin = until
    span.end(end)


def _opened(tracer: "Tracer", event: ModelOpened) -> None:
    end = int(event.at * NANO)
    attributes = {
        "crossrank.model": event.model,
        "crossrank.backend": event.backend,
        "crossrank.device": event.device,
        "crossrank.precision": event.precision,
    }
    span = tracer.start_span("crossrank.open", start_time=end - int(event.seconds * NANO), attributes=attributes)
    span.end(end)
