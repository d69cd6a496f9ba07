"""What the figures were measured on."""

import subprocess
from datetime import UTC, datetime

from crossrank import _native
from crossrank.machine import cpu_name, usable_cores


def describe() -> str:
    """Date, commit, processor and threads, in a line."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {cpu_name()} ({', '.join(_native.isas())}), "
        f"{usable_cores()} threads"
    )
