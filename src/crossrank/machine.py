"""What this machine offers: cores this process may use, the processor's name, memory, accelerators, a place for caches.

It knows the operating system; nothing of models.
"""

import os
import platform
from pathlib import Path

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
CACHE_VARIABLE = "CROSSRANK_CACHE"


def usable_cores() -> int:
    """Cores that this process may use: its CPU affinity, within the container's quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cpu_quota()
    return max(1, cores if quota is None else min(cores, round(quota)))


def cpu_quota() -> float | None:
    """Cores that the control group allows (v2, then v1), or None without a limit."""
    quota, period = "max", "100000"
    try:
        quota, period = CGROUP_CPU_MAX.read_text().split()
    except (OSError, ValueError):
        try:
            quota = (CGROUP_V1 / "cpu.cfs_quota_us").read_text().strip()
            period = (CGROUP_V1 / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def cpu_name() -> str:
    """The processor's name as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """Physical memory in bytes, or None where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def gpus() -> list[str]:
    """Names of NVIDIA GPUs that the driver shows, without loading any GPU library."""
    names: list[str] = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = file.read_text().splitlines()
        names += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    return names


def make_private(folder: Path) -> None:
    """Make a folder, and those that it lies in, for this user alone whatever the umask; what is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for one in [one for one in (*reversed(folder.parents), folder) if not one.exists()]:
        one.mkdir(mode=0o700, exist_ok=True)  # another process may be as far


def cache_folder() -> Path | None:
    """Where crossrank keeps what it can make again: CROSSRANK_CACHE, else the user's caches; None without a home.

    It may not exist, and it may be impossible to write there.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return Path(os.environ.get(CACHE_VARIABLE) or caches / "crossrank").expanduser()
    except RuntimeError:
        return None
