"""A SQLite file that several write: none of them is promised a turn within its second."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
BOUND_S = 240


def patiently(call: Callable[[], T]) -> T:
    """What the call gives once the others leave it a turn."""
    until = time.monotonic() + BOUND_S
    while True:
        try:
            return call()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
