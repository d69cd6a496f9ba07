"""What coverage must not measure: processes that are interrupted, and forked children.

It takes a lock of its own, in Python code, at each call of a function of ours. Ctrl-C that comes in there leaves the
lock taken, as does a fork while another thread is in there; the process then waits for it at its next call, for ever.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_here = threading.local()


def unmeasured(**more: str) -> dict[str, str]:
    """The environment, with more, for a process that is interrupted, or has no room to write what was measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")} | more


def measure_no_children() -> None:
    """From now on, a forked child of this process is not measured."""
    os.register_at_fork(before=_pause, after_in_parent=_go_on, after_in_child=_forget)


def _pause() -> None:
    _here.measuring = sys.gettrace()
    sys.settrace(None)


def _go_on() -> None:
    measuring: Callable[..., Any] | None = _here.measuring
    sys.settrace(measuring)


def _forget() -> None:
    threading.settrace(None)  # type: ignore[arg-type]
