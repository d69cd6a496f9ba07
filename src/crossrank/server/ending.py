"""How a server process ends and begins anew: what a signal sets going, and the bounds of each step.

It knows the application and uvicorn's server as things with a few switches; not what is served.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from crossrank.errors import UsageError
from crossrank.server.app import App
from crossrank.server.keys import read_keys
from crossrank.server.settings import Settings

if TYPE_CHECKING:
    import uvicorn

LAST_S = 5.0  # after the time that calls get, what is left for everything else that must end
TICK_S = 0.02
log = logging.getLogger("crossrank.server")


class Ending:
    """How a server ends: no new calls, those in progress get their time, then all is closed; again, and it is over."""

    def __init__(self, app: App, settings: Settings, server: "uvicorn.Server") -> None:
        self._app = app
        self._settings = settings
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: threading.Timer | None = None

    def begin(self) -> None:
        """A signal to end has come."""
        if self._app.guard.draining:
            log.warning("stopped at once")
            _leave(1)
        self._app.guard.draining = True
        log.info("stopping", extra={"facts": {"calls": self._app.guard.calls}})
        # A thread that cannot be interrupted does not keep the process.
        self._last = threading.Timer(self._settings.shutdown_s + LAST_S, _leave, [0])
        self._last.daemon = True
        self._last.start()
        self._run(self._drain())

    def now(self) -> None:
        """There is nothing to serve."""
        self._app.guard.draining = True
        self._server.should_exit = True

    def reload(self) -> None:
        """A signal to read keys and open models anew has come."""
        self._run(self._reloaded())

    def over(self) -> None:
        """All is closed."""
        log.info("stopped")

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.shutdown_s):
                while self._app.guard.calls:  # noqa: ASYNC110 - as uvicorn itself waits, once in a server's life
                    await asyncio.sleep(TICK_S)
        self._server.should_exit = True

    async def _reloaded(self) -> None:
        settings = self._settings
        try:
            self._app.guard.keys = read_keys(
                os.environ, settings.api_key_file, documents_per_minute=settings.documents_per_minute
            )
        except UsageError as exc:
            log.warning("the keys could not be read again; the old ones stay", extra={"facts": {"why": str(exc)}})
        await self._app.models.reload()

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _leave(code: int) -> None:
    """Exit now, whatever is still going on."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
