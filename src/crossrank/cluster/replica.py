"""One replica of the server on Ray Serve: the same application, opened before it is sent any call.

It knows the server's parts and what Serve asks of a replica; not how many there are, nor where.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crossrank import __version__
from crossrank.errors import UsageError
from crossrank.opening import open_ranker
from crossrank.server.listen import check_open
from crossrank.server.logs import set_up
from crossrank.server.refusals import Refusal
from crossrank.server.run import build
from crossrank.server.settings import settings_of

if TYPE_CHECKING:
    from crossrank.server.app import App

PUBLISH_S = 5.0
WAIT = "wait_s"  # what a replica tells the autoscaler
log = logging.getLogger("crossrank.server")


class Replica:
    """What Serve starts so many of, each in a process of its own. Methods without an underscore are called by Serve.

    Args:
        told: the settings, by name, as they differ from the defaults.
        version: crossrank's, of the process that deploys it.

    Raises:
        UsageError: settings or keys that cannot be taken, or another version of crossrank on this machine.
        ModelError: the first model cannot be opened.
    """

    async def __init__(self, told: Mapping[str, Any], version: str) -> None:  # type: ignore[misc]  # Serve awaits it
        if version != __version__:
            raise UsageError(
                f"crossrank {version} deploys to a machine that has crossrank {__version__}; install the same on both"
            )
        settings = settings_of(told, "the settings")
        if settings.threads is None:
            settings = replace(settings, threads=_assigned_cpus())
        check_open(settings, os.environ)
        set_up(settings.log_level)
        self._app = build(settings, partial(open_ranker, settings), os.environ)
        if not settings.lazy:
            try:
                await _open_first(self._app)
            except BaseException:
                await self._app.close()
                raise
        self._publishing = asyncio.create_task(_publish(self._app))

    def __serve_build_asgi_app__(self) -> "App":
        """What answers requests; its lifespan ends with the replica."""
        return self._app

    async def check_health(self) -> None:
        """Called in the event loop that answers: if that hangs, this is late, and Serve replaces the replica."""

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """The seconds of work that wait here, for `crossrank.cluster.scaling`."""
        guard = self._app.guard
        return {WAIT: guard.pace.wait_s(guard.work)}


async def _open_first(app: "App") -> None:
    try:
        async with app.models.held(app.models.names[0]):
            pass
    except Refusal as exc:
        raise (exc.__cause__ or exc) from None


def _assigned_cpus() -> int:
    """The cores that Ray keeps for this replica; it tells no process how many threads to start."""
    import ray

    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


async def _publish(app: "App") -> None:
    """Copy the numbers of /metrics into Ray's own metrics, every few seconds, for as long as the replica lives.

    A counter becomes a gauge with the same name, value and labels: Prometheus takes rates and quantiles of it all the
    same. A replica whose process is new begins at 0 under a label of its own.
    """
    from ray.serve.metrics import Gauge

    gauges: dict[str, Any] = {}
    while True:
        try:
            for sample in app.metrics.samples():
                if not sample.name.endswith("_created"):
                    if sample.name not in gauges:
                        gauges[sample.name] = Gauge(sample.name, sample.name, tuple(sample.labels))
                    gauges[sample.name].set(float(sample.value), tags=dict(sample.labels))
        except Exception:  # whatever Ray has against a number: calls are answered all the same
            log.exception("numbers could not be published")
        await asyncio.sleep(PUBLISH_S)
