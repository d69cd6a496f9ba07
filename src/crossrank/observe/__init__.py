"""What happened, as facts: events that the engine emits, and sinks that decide what becomes of them.

It must not know who emits, nor any text that was ranked.

    unsubscribe = crossrank.observe.subscribe(print)  # any callable that takes an event
    crossrank.observe.to_log()                        # structured lines, through logging
    crossrank.observe.to_prometheus()                 # metrics           [prometheus]
    crossrank.observe.to_otel()                       # spans             [otel]
"""

from typing import TYPE_CHECKING, Any

from crossrank.observe.events import BatchRan, CacheAsked, Event, ModelOpened, RankingDone
from crossrank.observe.hooks import Hook, Unsubscribe, emit, listening, subscribe

if TYPE_CHECKING:
    from crossrank.observe.log import to_log
    from crossrank.observe.otel import to_otel
    from crossrank.observe.prometheus import to_prometheus

__all__ = [
    "BatchRan",
    "CacheAsked",
    "Event",
    "Hook",
    "ModelOpened",
    "RankingDone",
    "Unsubscribe",
    "emit",
    "listening",
    "subscribe",
    "to_log",
    "to_otel",
    "to_prometheus",
]

_SINKS = {"to_log": "log", "to_prometheus": "prometheus", "to_otel": "otel"}


def __getattr__(name: str) -> Any:
    """A sink is loaded when it is asked for: whoever emits loads none."""
    if name not in _SINKS:
        raise AttributeError(f"module 'crossrank.observe' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"crossrank.observe.{_SINKS[name]}"), name)
