"""JSON lines, plain or gzipped, with every fault named by file and line. It knows objects and fields only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossrank.collection.lines import numbered_lines
from crossrank.errors import InputFileError


def read_objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file, line N", the object) for each line that is not empty.

    Raises:
        InputFileError: the file cannot be read, a line is no JSON object, or there is no line at all.
    """
    found = False
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        found = True
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as exc:
            raise InputFileError(f"{file}, line {number} is no JSON: {exc}.") from None
        if not isinstance(entry, dict):
            raise InputFileError(f"{file}, line {number} must be an object, not {line.strip()[:60]!r}.")
        yield f"{file}, line {number}", entry
    if not found:
        raise InputFileError(f"{file} is empty.")


def text_of(entry: dict[str, Any], key: str, where: str) -> str:
    """A field that must be a string with something in it."""
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InputFileError(f"{where}: {key!r} must be a string that is not empty, not {text!r}.")
    return text.strip()


def texts_of(entry: dict[str, Any], key: str, where: str) -> list[str]:
    """A field that must be a string or a list of strings, none empty; [] if it is not there."""
    given = entry.get(key, [])
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputFileError(f"{where}: {key!r} must be a string or a list of strings, none empty.")
    return [text.strip() for text in texts]
