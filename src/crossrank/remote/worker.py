"""A scorer in its loop: opened by the first call of whichever thread, closed once, opened anew in a forked child.

It knows locks and forks; not what is scored.
"""

import threading
from collections.abc import Callable

from crossrank.awaiting import in_thread
from crossrank.errors import ClosedError
from crossrank.forks import in_children
from crossrank.remote.loop import CLOSED, Loop
from crossrank.remote.scorer import RemoteScorer


class Worker:
    """Holds the loop and the scorer that lives in it."""

    def __init__(self, open_scorer: Callable[[], RemoteScorer]) -> None:
        self._open_scorer = open_scorer
        self._lock = threading.Lock()
        self._held: tuple[Loop, RemoteScorer] | None = None
        self.closed = False
        in_children(self, Worker._forked)

    def opened(self) -> tuple[Loop, RemoteScorer]:
        """The loop and the scorer."""
        with self._lock:
            if self.closed:
                raise ClosedError(CLOSED)
            if self._held is None:
                scorer = self._open_scorer()
                self._held = Loop(scorer.aclose), scorer
            return self._held

    async def aopened(self) -> tuple[Loop, RemoteScorer]:
        """As `opened`, without keeping the caller's event loop waiting for libraries and certificates."""
        if self._held is not None:
            return self._held
        return await in_thread(self.opened)

    def close(self) -> None:
        """Let what is under way finish, then close the connections."""
        with self._lock:
            self.closed, held, self._held = True, self._held, None
        if held is not None:
            held[0].close()

    def _forked(self) -> None:
        """Start a child with a free lock and without its parent's thread and connections, which are left untouched."""
        self._lock = threading.Lock()
        if self._held is not None:
            self._held[0].detach()
            _PARENTS.append(self._held)
            self._held = None


_PARENTS: list[tuple[Loop, RemoteScorer]] = []  # never collected: closing them would end the parent's connections
