"""The one function that `crossrank serve` is: listen, then serve in this process or in several.

It knows the parts by name only.
"""

import contextlib
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from crossrank.errors import MissingExtra
from crossrank.server.listen import address_of, listen
from crossrank.server.logs import set_up
from crossrank.server.settings import Settings

if TYPE_CHECKING:
    from crossrank.server.models import Open

OTHER_DESCRIPTORS = 512  # models, logs, what a vendor is asked through
log = logging.getLogger("crossrank.server")


def serve(settings: Settings, open_model: "Open", *, told: Callable[[str], None]) -> int:
    """Serve until a signal ends it; the exit code.

    Args:
        settings: of the server.
        open_model: opens a model by its spec; can be pickled where there are several workers.
        told: is given the address, once it is listened on.

    Raises:
        UsageError: see `run.build` and `listen`.
        MissingExtra: the server's libraries are not installed.
    """
    check_installed()
    from crossrank.server.run import build, work

    set_up(settings.log_level)
    _make_room_for(settings)
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(listen(settings, os.environ))
        if settings.uds is not None:
            stack.callback(Path(settings.uds).unlink, missing_ok=True)
        told(address_of(bound, settings))
        if settings.workers > 1:
            from crossrank.server.workers import Workers

            return Workers(settings, open_model, bound).run()
        return work(build(settings, open_model, os.environ), settings, bound)


def _make_room_for(settings: Settings) -> None:
    """Let the process open as many descriptors as it may take connections; workers' are held by it, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections_max * settings.workers + OTHER_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        facts = {"allowed": allowed, "connections_max": settings.connections_max, "workers": settings.workers}
        log.warning("fewer files may be open than there may be connections (ulimit -n)", extra={"facts": facts})


def check_installed() -> None:
    """Raise unless all that the server needs is there.

    Raises:
        MissingExtra: its libraries are not installed.
    """
    try:
        import httptools  # noqa: F401
        import msgspec  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as exc:
        raise MissingExtra(f"{exc.name} is not installed. Run: pip install 'crossrank[server]'") from exc
