"""The server as an application of Ray Serve: `crossrank serve --ray`, and `application` for Serve's config files.

Serve starts replicas, watches, replaces and scales them, and gives each call to one; the rest is the server. It knows
settings and Serve's options; not what is served.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrank import __version__
from crossrank.cluster.replica import Replica
from crossrank.cluster.scaling import ByWait
from crossrank.cluster.session import LOCAL, connected
from crossrank.errors import CrossrankError, MissingExtra, UsageError
from crossrank.server.listen import check_open
from crossrank.server.models import named
from crossrank.server.settings import Settings, settings_of

if TYPE_CHECKING:
    from ray.serve import Application

NAME = "crossrank"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is assumed of Serve's proxies; nothing is opened here  # nosec B104
SURGE_PERCENT = 25  # more replicas than wanted while they are replaced, and at least one


def application(args: Mapping[str, Any]) -> "Application":
    """The application that a config file of Serve names as `crossrank.cluster.serve:application`.

    Args:
        args: settings as in the server's TOML file. `host` says whether others can reach Serve's proxies, which they
            can unless it is said; `port` is Serve's business.

    Raises:
        UsageError: a setting that cannot be taken.
        MissingExtra: Ray is not installed.
    """
    return _bound(settings_of({"host": EVERYWHERE, **args}, "args"))


def serve_on_ray(
    settings: Settings, *, address: str | None, workers_max: int | None, told: Callable[[str], None]
) -> int:
    """Serve on Ray until a signal ends it; the exit code.

    Args:
        settings: of the server; `workers` is the number of replicas, at least.
        address: of a cluster, as `session.connected` takes it; None: RAY_ADDRESS, else Ray on this machine, which ends
            with the server.
        workers_max: of replicas, as calls wait; None for as many as there are.
        told: is given the address, once it answers.

    Raises:
        UsageError: settings that cannot be taken, or that Serve cannot keep.
        MissingExtra: Ray is not installed.
        CrossrankError: the cluster cannot be reached, or the replicas cannot be started.
    """
    if settings.uds is not None:
        raise UsageError("--uds: the proxies of Ray Serve listen on addresses only; leave it out, or --ray")
    if settings.port == 0:
        raise UsageError("--port 0: Ray Serve takes no free port by itself; say which")
    if workers_max is not None and workers_max < settings.workers:
        raise UsageError(f"--workers-max {workers_max} is fewer than --workers {settings.workers}")
    check_open(settings, os.environ)
    bound = _bound(replace(settings, model=tuple(map(_from_anywhere, settings.model))), workers_max)
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    with connected(address, logs=address == LOCAL) as ray:
        from ray import serve

        if address == LOCAL:
            _check_fits(settings, int(ray.cluster_resources().get("CPU", 0)))

        there = serve.status().proxies  # of a Serve that runs already, and keeps its own address
        try:
            serve.start(proxy_location="EveryNode", http_options=_http_options(settings))
            serve.run(bound, name=NAME, route_prefix="/")
        except (RuntimeError, ValueError) as exc:
            raise CrossrankError(f"Ray Serve could not start the server: {_why(exc)}") from exc
        scheme = "https" if settings.ssl_certfile else "http"
        told("the address of its cluster" if there else f"{scheme}://{settings.host}:{settings.port}")
        _until_signalled()
        serve.delete(NAME)
    return 0


def _bound(settings: Settings, workers_max: int | None = None) -> "Application":
    """The application with a server's settings."""
    _check_installed()
    from ray import serve
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    options: dict[str, Any] = {"num_replicas": settings.workers}
    if workers_max is not None:
        policy = AutoscalingPolicy(policy_function=ByWait)
        scaling = AutoscalingConfig(min_replicas=settings.workers, max_replicas=workers_max, policy=policy)
        options = {"autoscaling_config": scaling}
    deployment = serve.deployment(
        name=NAME,
        max_ongoing_requests=settings.calls_max,
        max_surge_percent=SURGE_PERCENT,
        logging_config={"enable_access_log": False},  # the server has its own, with no path or text of a caller
        graceful_shutdown_timeout_s=settings.shutdown_s,
        ray_actor_options={
            "num_cpus": settings.threads or 1,
            "num_gpus": len(settings.devices) or int(settings.device.startswith("cuda")),
        },
        **options,
    )
    return deployment(serve.ingress()(Replica)).bind(_as_told(settings), __version__)


def _as_told(settings: Settings) -> dict[str, Any]:
    """The settings that differ from the defaults, as plain values."""
    defaults = Settings()
    given = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {name: value for name, value in given.items() if value != getattr(defaults, name)}


def _http_options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "root_path": settings.root_path,
        "keep_alive_timeout_s": round(settings.keep_alive_s),
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }


def _from_anywhere(given: str) -> str:
    """A model as it is given, its folder by its full path: replicas run in folders of their own."""
    name, spec = named(given)
    return f"{name}={Path(spec).resolve()}" if Path(spec).is_dir() else given


def _check_fits(settings: Settings, cores: int) -> None:
    """Refuse replicas that a machine has no room for: Serve would wait until another joins, which none does."""
    threads = settings.threads or 1
    if settings.workers * threads > cores:
        raise UsageError(
            f"--workers {settings.workers} with --threads {threads} take {settings.workers * threads} cores; this "
            f"machine has {cores}. Give fewer, or the --address of a cluster."
        )


def _until_signalled() -> None:
    """Wait for SIGTERM or SIGINT. Ray's own handlers, which end the process at once, are replaced for good."""
    arrived = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: arrived.set())
    arrived.wait()


def _why(exc: BaseException) -> str:
    """What a replica failed of, if that is why; Serve itself only says that it did."""
    from ray import serve

    application = serve.status().applications.get(NAME)
    told = "" if application is None else "\n".join(found.message for found in application.deployments.values())
    raised = re.findall(r"^crossrank\.errors\.\w+: (.+)$", told, re.MULTILINE)
    return str(raised[-1]) if raised else _last_line(exc)


def _last_line(exc: BaseException) -> str:
    """What went wrong, without the trace that Ray puts before it."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__


def _check_installed() -> None:
    try:
        from ray import serve  # noqa: F401
    except ImportError as exc:
        raise MissingExtra(f"{exc.name} is not installed. Run: pip install 'crossrank[ray,server]'") from exc
