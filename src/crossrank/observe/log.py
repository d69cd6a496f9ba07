"""Events as lines of JSON, through the standard library's logging.

It knows events, which hold no texts; so no line does.
"""

import json
import logging
from dataclasses import fields

from crossrank.observe.events import OK, Event, RankingDone
from crossrank.observe.hooks import Unsubscribe, subscribe

DIGITS = 6  # of seconds: microseconds


def to_log(logger: logging.Logger | str | None = None, *, level: int = logging.INFO) -> Unsubscribe:
    """Log every event as one line of JSON, whose `event` names its kind; rankings that failed as warnings.

    Args:
        logger: a logger or its name; "crossrank.events" by default. Its handlers and level are yours to set.
        level: of all that did not fail.
    """
    if not isinstance(logger, logging.Logger):
        logger = logging.getLogger(logger or "crossrank.events")
    return subscribe(lambda event: _write(logger, level, event))


def _write(logger: logging.Logger, level: int, event: Event) -> None:
    failed = isinstance(event, RankingDone) and event.outcome != OK
    level = max(level, logging.WARNING) if failed else level
    if logger.isEnabledFor(level):
        logger.log(level, "%s", line(event))


def line(event: Event) -> str:
    """The event as JSON."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    rounded = {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in values.items()}
    return json.dumps({"event": type(event).__name__, **rounded}, ensure_ascii=False)
