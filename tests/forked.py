"""A forked child of a test: whatever becomes of it, it ends, and it never goes on with the tests of its parent."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

from fakes import BOUND_S


def holds_in_a_child(fact: Callable[[], bool]) -> bool:
    """Whether `fact` says so in a forked child, within a minute; an error there is told on stderr."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest's own is for the parent, and waits for Python
            signal.alarm(BOUND_S)
            code = 0 if fact() else 2
        except BaseException:  # noqa: BLE001 - whatever it is, this process has to end here
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
