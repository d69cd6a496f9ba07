"""Where the replicas of a model run: one a GPU in this process, or one a group of cores in a process of its own.

It knows devices, cores and processes; not models, nor which engine runs them.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from crossrank.backends.contract import Backend
from crossrank.backends.process import ProcessBackend
from crossrank.backends.replicas import Replicas
from crossrank.errors import UsageError
from crossrank.numa import Domain, dealt

Count = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Where:
    """What one replica runs on.

    Attributes:
        device: as in `OpenConfig`.
        threads: of the CPU; None leaves it to the engine.
        domain: the NUMA domain that its memory is in.
        cores: that its process keeps to; none for a replica of this process.
    """

    device: str
    threads: int | None = None
    domain: int = 0
    cores: tuple[int, ...] = ()


def on_gpus(replicas: Count, gpus: int, device: str = "auto") -> list[Where]:
    """One replica a GPU, the first GPUs first.

    Raises:
        UsageError: there are fewer, or one was named.
    """
    if device not in ("auto", "cuda"):
        raise UsageError(
            f"replicas={replicas!r} on device={device!r}, which is one device. Give devices=[...] instead."
        )
    count = gpus if replicas == "auto" else replicas
    if count > gpus:
        raise UsageError(f"replicas={count}: there are {gpus} GPUs, and a replica needs one. Or give device='cpu'.")
    return [Where(f"cuda:{i}") for i in range(count)]


def on_cores(replicas: Count, threads: int | None, found: Sequence[Domain], usable: int) -> list[Where]:
    """One replica a group of neighbouring cores; "auto" is one a NUMA domain. Pure.

    Args:
        replicas: how many.
        threads: of all together; None for as many as may be used.
        found: the machine's domains.
        usable: cores' worth of time that this process may use; a container may allow less than it shows.

    Raises:
        UsageError: there are fewer cores.
    """
    cores = sum(len(one.cores) for one in found)
    together = threads or min(usable, cores)
    count = min(len(found), usable) if replicas == "auto" else replicas
    if count > cores:
        raise UsageError(f"replicas={count}: this process may use {cores} cores, and a replica needs one at least")
    if count == 1:
        return [Where("cpu", threads)]
    wheres: list[Where] = []
    before = 0
    for one in dealt(found, count):
        share = (before + len(one.cores)) * together // cores - before * together // cores
        wheres.append(Where("cpu", max(1, share), one.number, one.cores))
        before += len(one.cores)
    return wheres


def replicated(opening: Callable[[Where], Callable[[], Backend]], wheres: Sequence[Where]) -> Replicas:
    """A replica in each place, opened.

    Args:
        opening: what opens a replica there; for a process of its own it is pickled.
        wheres: two or more.

    Raises:
        UsageError: processes of their own are not to be had here.
        ReplicaError: a process died before it had its model.
    """

    def begun(number: int) -> Callable[[], Backend]:
        """What waits for a replica that is being opened."""
        where = wheres[number]
        if not where.cores:
            return opening(where)
        return ProcessBackend(f"replica {number}", where.cores, opening(where)).opened

    if any(where.cores for where in wheres) and (os.name != "posix" or getattr(sys, "frozen", False)):
        raise UsageError(  # a frozen program would start itself, again and again
            "Replicas on a CPU are processes of Python's, which are not started on Windows nor by a frozen program. "
            "Leave out replicas=."
        )
    opened = [wait() for wait in [begun(number) for number in range(len(wheres))]]  # processes open theirs together
    return Replicas(opened, lambda number: begun(number)())
