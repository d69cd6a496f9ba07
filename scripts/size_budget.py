"""Fails when a file has outgrown one concept (STYLE.md): over 600 lines, or a median of all files over 150."""

import statistics
import subprocess
import sys
from pathlib import Path

FAILURE, WARNING, MEDIAN = 600, 400, 150


def main() -> int:
    """Print files over the budget; 1 when there is a failure."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "native", "tests", "benchmarks"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    sources = [Path(name) for name in tracked if name.endswith((".py", ".cpp", ".h", ".inl"))]
    lengths = {path: len(path.read_text().splitlines()) for path in sources if path.exists()}
    for path, length in sorted(lengths.items(), key=lambda item: -item[1]):
        if length > WARNING:
            sys.stdout.write(f"{'too long' if length > FAILURE else 'long'}: {path} has {length} lines\n")
    median = statistics.median(lengths.values())
    sys.stdout.write(f"{len(lengths)} files, median {median:.0f} lines\n")
    return int(max(lengths.values()) > FAILURE or median > MEDIAN)


if __name__ == "__main__":
    sys.exit(main())
