"""Which cores are near which memory: the NUMA domains of this machine, and cores dealt out to replicas.

Linux tells it below /sys; elsewhere, and where a container hides it, the machine is one domain. It knows cores;
nothing of models.
"""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossrank.machine import usable_cores

SYSTEM = Path("/sys/devices/system")


@dataclass(frozen=True, slots=True)
class Domain:
    """Cores that are near the same memory.

    Attributes:
        number: as the operating system counts its domains ("nodes").
        cores: those that this process may use, threads of one core beside each other; at least one.
    """

    number: int
    cores: tuple[int, ...]


def domains(system: Path = SYSTEM, usable: Collection[int] | None = None) -> tuple[Domain, ...]:
    """The domains whose cores this process may use, in the system's order; at least one.

    Args:
        system: where Linux shows them: `node/nodeN/cpulist`, `cpu/cpuN/topology/thread_siblings_list`.
        usable: cores that may be used; by default those of the process's affinity.
    """
    cores = set(_affinity() if usable is None else usable)
    found: list[Domain] = []
    for folder in sorted(system.glob("node/node[0-9]*"), key=lambda folder: int(folder.name.removeprefix("node"))):
        its = cores & set(_listed(folder / "cpulist"))  # memory without cores of its own has an empty list
        if its:
            found.append(Domain(int(folder.name.removeprefix("node")), _beside(its, system)))
    return tuple(found) or (Domain(0, _beside(cores, system)),)


def dealt(found: Sequence[Domain], replicas: int) -> list[Domain]:
    """Cores for each of so many replicas, every core once, and of one domain unless there are more domains.

    Args:
        found: the domains, with as many cores as there are replicas at least.
        replicas: how many.
    """
    if replicas < len(found):
        groups = [found[_cut(i, replicas, len(found)) : _cut(i + 1, replicas, len(found))] for i in range(replicas)]
        return [Domain(group[0].number, tuple(core for one in group for core in one.cores)) for group in groups]
    counts = [1] * len(found)
    for _ in range(replicas - len(found)):
        roomiest = max(range(len(found)), key=lambda i: len(found[i].cores) / counts[i])
        counts[roomiest] += 1
    return [
        Domain(one.number, one.cores[_cut(i, count, len(one.cores)) : _cut(i + 1, count, len(one.cores))])
        for one, count in zip(found, counts, strict=True)
        for i in range(count)
    ]


def pin(cores: Collection[int]) -> bool:
    """Keep this process on these cores, as memory that it touches first then is near them; whether that can be done."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    try:
        os.sched_setaffinity(0, cores)
    except OSError:  # taken away since they were counted
        return False
    return True


def _affinity() -> Collection[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(usable_cores())


def _beside(cores: Collection[int], system: Path) -> tuple[int, ...]:
    """The cores, those that are threads of one core beside each other."""

    def place(core: int) -> tuple[int, int]:
        siblings = _listed(system / "cpu" / f"cpu{core}" / "topology" / "thread_siblings_list")
        return min(siblings, default=core), core

    return tuple(sorted(cores, key=place))


def _listed(file: Path) -> list[int]:
    """The numbers of a list as Linux writes it, such as 0-3,8; none where the file cannot be read."""
    try:
        ranges = re.findall(r"(\d+)(?:-(\d+))?", file.read_text())
    except OSError:
        return []
    return [number for first, last in ranges for number in range(int(first), int(last or first) + 1)]


def _cut(part: int, parts: int, size: int) -> int:
    return part * size // parts
