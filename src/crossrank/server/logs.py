"""One line of JSON for each call and each thing that happens to the server. No text, no key and no message of a call.

It knows logging; not what is logged.
"""

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any

LOGGER = "crossrank.server"


class JsonLines(logging.Formatter):
    """Records as JSON: time, level, logger, message, and the record's `facts`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said |= {"error": record.exc_info[0].__name__, "at": places(record.exc_info[2])}
        return json.dumps(said, ensure_ascii=False, default=str)


def places(trace: TracebackType | None) -> list[str]:
    """Where an error came through: files and lines, without its message, which can hold what a caller sent."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]


def set_up(level: str) -> None:
    """Write what the server and uvicorn log to standard error, from a level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in (LOGGER, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
    if level == "info":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # what it says of starting is said by us
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
