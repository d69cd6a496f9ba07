"""Puts a server's parts together, and runs them in one process until a signal ends it.

The composition root of the server; alone, with `protocol`, to know uvicorn.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrank.server.app import App
from crossrank.server.calls import Calls
from crossrank.server.custody import Custody
from crossrank.server.ending import Ending
from crossrank.server.guard import Guard
from crossrank.server.keys import read_keys
from crossrank.server.metrics import Metrics
from crossrank.server.models import Models, Open
from crossrank.server.quota import Quotas
from crossrank.server.refusals import refusal_of
from crossrank.server.settings import Settings

if TYPE_CHECKING:
    import uvicorn

# What workers are told by. A terminal or systemd sends the usual signals to all processes of a server: a worker would
# take its share of those, and what is passed on to it, for two.
STOP, RELOAD = signal.SIGUSR1, signal.SIGUSR2


def build(settings: Settings, open_model: Open, environ: Mapping[str, str], quotas: Path | None = None) -> App:
    """The application of one process.

    Args:
        settings: of the server.
        open_model: opens a model by its spec.
        environ: where keys may be.
        quotas: the file that the processes of one server share their counts in.

    Raises:
        UsageError: keys or models that cannot be taken.
    """
    keys = read_keys(environ, settings.api_key_file, documents_per_minute=settings.documents_per_minute)
    models = Models(settings.model, open_model, strict=settings.strict_models, memory_max_mb=settings.memory_max_mb)
    guard = Guard(settings, keys, Quotas(quotas))
    translate = partial(refusal_of, overload_status=settings.overload_status)
    metrics, ends = Metrics(), []
    calls = Calls(settings, models, guard, translate)
    if settings.otel:
        from crossrank.server.tracing import start_tracing, traced

        calls = replace(calls, trace=traced)
        ends.append(start_tracing())
    return App(settings, models, guard, metrics, calls, [metrics.close, guard.quotas.close, *ends])


def work(app: App, settings: Settings, bound: socket.socket, custody: Custody | None = None) -> int:
    """Serve in this process, on a socket that is listened on; the exit code.

    Raises:
        CrossrankError: the first model cannot be opened.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_worked(app, settings, bound, custody))
    return 0


async def _worked(app: App, settings: Settings, bound: socket.socket, custody: Custody | None) -> None:
    server = server_of(app, settings, custody)
    ending = Ending(app, settings, server)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT) if custody is None else (STOP,):
        loop.add_signal_handler(number, ending.begin)
    loop.add_signal_handler(signal.SIGHUP if custody is None else RELOAD, ending.reload)
    if custody is not None:
        custody.when_left(loop, ending.begin)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {STOP, RELOAD})  # held back since the process was started
    app.when_broken = ending.now
    await server.serve(sockets=[bound])
    ending.over()
    if app.broken is not None:
        raise app.broken


def server_of(app: App, settings: Settings, custody: Custody | None = None) -> "uvicorn.Server":
    """A server of uvicorn's around an application; signals are not its business."""
    import uvicorn

    from crossrank.server.protocol import bounded

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    options: dict[str, Any] = {
        "http": bounded(settings.connections_max, settings.read_s, custody),
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": round(settings.keep_alive_s),
        "timeout_graceful_shutdown": 1,  # calls have had their time before
        "root_path": settings.root_path,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }
    return Server(uvicorn.Config(app, **options))
