"""What figures were measured on, as a value that is kept with them and as a line that is printed above them.

It knows the machine and the source's commit; not what is measured.
"""

import platform
import subprocess  # git, with constants  # nosec B404
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossrank import __version__
from crossrank.machine import cpu_name, gpus, memory_bytes, usable_cores

GIT_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Where, when and of which source.

    Attributes:
        date: of the measurement, in UTC, as 2026-11-21.
        commit: of the source that was run, `-dirty` if it was changed since; None where crossrank is installed.
        cores: that this process may use.
        instruction_sets: that the CPU engine has kernels for here, the best first.
    """

    date: str
    crossrank: str
    commit: str | None
    processor: str
    instruction_sets: tuple[str, ...]
    cores: int
    memory_bytes: int | None
    gpus: tuple[str, ...]
    system: str
    python: str

    @classmethod
    def here(cls) -> "Machine":
        """This one, now."""
        from crossrank import _native

        return cls(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            crossrank=__version__,
            commit=_commit(),
            processor=cpu_name(),
            instruction_sets=tuple(_native.isas()),
            cores=usable_cores(),
            memory_bytes=memory_bytes(),
            gpus=tuple(gpus()),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
        )

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Machine":
        """From what `as_dict` gave."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
        }
        return cls(**plain)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Date, commit, processor, GPUs and threads, in a line."""
        source = f"crossrank {self.crossrank}" if self.commit is None else f"commit {self.commit}"
        sets = f" ({', '.join(self.instruction_sets)})" if self.instruction_sets else ""
        return ", ".join([self.date, source, f"{self.processor}{sets}", *self.gpus, f"{self.cores} threads"])


def describe() -> str:
    """This machine, in a line."""
    return str(Machine.here())


def _commit() -> str | None:
    """Of the work tree that this file is part of; None where it is part of none."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    tracked = ["git", "-C", str(Path(__file__).parent), "ls-files", "--error-unmatch", Path(__file__).name]
    try:
        subprocess.run(tracked, capture_output=True, timeout=GIT_S_MAX, check=True)  # noqa: S603 - constants  # nosec B603
        told = subprocess.run(git, capture_output=True, text=True, timeout=GIT_S_MAX, check=True)  # noqa: S603 - constants  # nosec B603
        return told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
