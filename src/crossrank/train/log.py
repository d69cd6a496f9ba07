"""The log of a run: JSON lines with a step each. It knows nothing else."""

import json
from pathlib import Path
from typing import Any

from crossrank.train.store import resumable
from crossrank.writing import write_whole


def read_log(file: Path) -> list[dict[str, Any]]:
    """All lines; a last line that was cut off by a crash is left out."""
    if not file.is_file():
        return []
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def append_log(file: Path, line: dict[str, Any]) -> None:
    """Add a line."""
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def prune_log(file: Path, step: int) -> None:
    """Keep the lines up to a step."""
    kept = [line for line in read_log(file) if line.get("step", 0) <= step]
    with resumable(file):
        write_whole(file, "".join(json.dumps(line) + "\n" for line in kept))
