"""What one measurement found, as a JSON file: the machine, the settings, and rows of plain values.

`crossrank bench` and the benchmarks of this project write the same; it knows files, not what rows mean.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossrank.bench.machine import Machine
from crossrank.errors import CrossrankError, InputFileError, UsageError
from crossrank.writing import unwritable, write_whole

SCHEMA_VERSION = 1  # raised when a field changes its meaning or goes

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        name: of the measurement.
        machine: on what, when.
        settings: what decides the figures besides the machine.
        rows: plain values by name; seconds, bytes and dollars, never milliseconds or texts of them.
        notes: sentences that a reader of the figures needs.
    """

    name: str
    machine: Machine
    rows: tuple[Row, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_json(self) -> str:
        """One JSON document."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "machine": self.machine.as_dict(),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "rows": [dict(row) for row in self.rows],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_result(result: Result, file: Path) -> None:
    """Write it, in place of what was there.

    Raises:
        UsageError, CrossrankError: the file cannot be written.
    """
    write_text(file, result.as_json())


def check_place(file: Path) -> None:
    """Whether a file can be written there, as far as can be told without writing it.

    Raises:
        UsageError: it is a folder, or in one that is not there or may not be written to.
    """
    parent = file.parent
    replaced = file.is_file() or not file.exists()  # anything else, a device, is written to as it is
    if file.is_dir() or not parent.is_dir() or not os.access(parent if replaced else file, os.W_OK):
        raise UsageError(f"{file} cannot be written: give a file in a folder that exists and that you may write to")


def write_text(file: Path, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        UsageError, CrossrankError: it cannot be written.
    """
    try:
        write_whole(file, text)
    except OSError as exc:
        raise not_written(file, exc) from exc


def not_written(file: Path, exc: OSError) -> CrossrankError:
    """What to raise where a result cannot be written."""
    remedy = "Give a file in a folder that exists and that you may write to."
    return unwritable(file, exc, left="Make room, and measure again.", remedy=remedy)


def read_result(file: Path) -> Result:
    """What `write_result` wrote.

    Raises:
        InputFileError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise InputFileError(
                f"{file} is of version {content['schema_version']}; crossrank reads {SCHEMA_VERSION}. Measure again."
            )
        return Result(
            content["name"],
            Machine.of(content["machine"]),
            tuple(content["rows"]),
            content["settings"],
            tuple(content["notes"]),
        )
    except OSError as exc:
        raise InputFileError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise InputFileError(
            f"{file} is no result of a measurement ({exc}); `crossrank bench --out` writes one"
        ) from exc
