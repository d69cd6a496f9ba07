"""The way to a Ray cluster: bounded, without dashboards or usage reports, refused where its nodes run another version.

It knows addresses, nodes and versions; not jobs. Ray is imported here and in `run`, when a job begins.
"""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from crossrank import __version__
from crossrank.errors import CrossrankError, MissingExtra, UsageError
from crossrank.machine import usable_cores

REACHED_S = 10.0  # until a host answers at all
JOINED_S = 60.0  # until what answers turns out to be a Ray cluster; Ray itself would wait for minutes
PLACED_S = 300.0  # until a first worker starts; a cluster that grows needs some minutes
STORE_BYTES = 256 << 20  # of the object store on this machine: partitions' numbers and metrics go through it, no texts
LOCAL = "local"


@contextmanager
def connected(address: str | None, *, logs: bool = False) -> Iterator[Any]:
    """Ray, connected: the process's own connection if it has one, which stays; else one that ends with the context.

    Args:
        address: "host:port" of a cluster's head, "auto" for one that this machine is part of, or "local" for Ray on
            this machine alone, which ends with the context. None: RAY_ADDRESS, where it is set, else "local".
        logs: whether what workers log is written here, too.

    Raises:
        CrossrankError: the cluster cannot be reached.
        UsageError: the address is none, or that of a cluster with another version of Ray or Python.
    """
    ray = ray_module()
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", there):
            raise UsageError(
                f"address={address!r}, but this process is connected to Ray at {there}. Leave address out, or call "
                "ray.shutdown() first."
            )
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": logs}
    if address == LOCAL:
        here = {"num_cpus": usable_cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
        try:
            ray.init(address=LOCAL, **here, **quiet)
        except Exception as exc:  # what Ray raises where its processes do not come up
            raise CrossrankError(f"Ray could not be started on this machine: {exc}") from exc
    else:
        _check_reachable(address)
        try:
            ray.init(address=address, **quiet)
        except ConnectionError as exc:
            raise CrossrankError(f"there is no Ray cluster at {address!r}: {exc}. {_REMEDY}") from exc
        except RuntimeError as exc:
            raise UsageError(f"the Ray cluster at {address!r} cannot be used from here: {exc}") from exc
    try:
        yield ray
    finally:
        ray.shutdown()


def ray_module() -> Any:
    """Ray, imported; it reports no usage of a cluster that is begun here.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns of what will be its default
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it tells everybody's stderr of each lost worker
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise MissingExtra("Ray Data is not installed. Run: pip install 'crossrank[ray]'") from exc
    return ray


def versions() -> dict[str, str]:
    """What runs here, for the manifest and to compare with."""
    return {
        "crossrank": __version__,
        "python": platform.python_version(),
        "ray": version("ray"),
        "pyarrow": version("pyarrow"),
    }


def check_nodes(ray: Any) -> None:
    """Raise unless every node that is there runs this version of crossrank.

    Raises:
        UsageError: one runs another version, or has none.
        CrossrankError: a node does not answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def asked() -> str | None:  # nested, so that it goes to the node as it stands, which may have another crossrank
        try:
            from crossrank import __version__ as there
        except ImportError:
            return None
        return there

    remote = ray.remote(num_cpus=0, max_retries=3)(asked)
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    refs = {
        node: remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)).remote()
        for node in nodes
    }
    try:
        found = dict(zip(refs, ray.get(list(refs.values()), timeout=PLACED_S), strict=True))
    except ray.exceptions.RayError as exc:
        raise CrossrankError(f"a node of the cluster did not answer: {exc}") from exc
    check_versions({nodes[node]: there for node, there in found.items()})


def check_versions(there: Mapping[str, str | None]) -> None:
    """Raise unless all nodes, by address, have this crossrank: another one may score otherwise.

    Raises:
        UsageError: some have not.
    """
    skewed = {address: there_ for address, there_ in there.items() if there_ != __version__}
    if skewed:
        told = ", ".join(f"{address} has {version_ or 'none'}" for address, version_ in sorted(skewed.items())[:5])
        raise UsageError(
            f"crossrank is {__version__} here, and not on {len(skewed)} of the cluster's {len(there)} nodes: {told}. "
            f"Install crossrank=={__version__} on all of them (or give it in Ray's runtime_env)."
        )


_REMEDY = "Start one with `ray start --head`, give the address of its head, or leave --address out for this machine."


def _check_reachable(address: str) -> None:
    """Raise unless a Ray cluster answers in time: Ray would wait for minutes, and then end the process."""
    if "://" in address:
        raise UsageError(
            f"address {address!r}: a job's driver must be in the cluster; ray:// leads into it from outside. Submit "
            "the command with `ray job submit`, or give host:port of the head."
        )
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"address {address!r} is none; give host:port, 'auto' or 'local'.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_S).close()
    except (OSError, OverflowError) as exc:
        raise CrossrankError(f"there is no Ray cluster at {address!r}: {exc}. {_REMEDY}") from exc
    try:
        subprocess.run(  # noqa: S603 - this very Python, with an address as an argument
            [sys.executable, "-c", "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)", address],
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
            capture_output=True,
            timeout=JOINED_S,
            check=False,  # what it says against it, Ray says here once more
        )
    except subprocess.TimeoutExpired as exc:
        raise CrossrankError(
            f"what answers at {address!r} is no Ray cluster, or did not answer within {JOINED_S:.0f} s. {_REMEDY}"
        ) from exc
