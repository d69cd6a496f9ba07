"""Queries and documents as BEIR has them: JSON lines with `_id`, `text` and perhaps `title`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossrank.collection.lines import numbered_lines
from crossrank.errors import InputFileError


def read_texts(file: Path) -> dict[str, str]:
    """Texts by id from JSON lines with `_id`, `text` and perhaps `title`; ids must be unique."""
    texts: dict[str, str] = {}
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        try:
            key, entry = entry_of(line)
        except ValueError as exc:
            raise InputFileError(f"{file}, line {number}: {exc}") from None
        if key in texts:
            raise InputFileError(
                f"{file}, line {number}: the id {key!r} stands in the file a second time. Ids are unique."
            )
        texts[key] = text_of_entry(entry)
    if not texts:
        raise InputFileError(f"{file} is empty.")
    return texts


def entry_of(line: str) -> tuple[str, dict[str, Any]]:
    """The id and the entry of a line of JSON; a ValueError says what is wrong with it."""
    try:
        entry = json.loads(line)
        key, _ = str(entry["_id"]), text_of_entry(entry)
    except (json.JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError) as exc:
        reason = f"{type(exc).__name__}: {exc}"
        raise ValueError(f'each line must be {{"_id": ..., "text": ...}} ({reason}).') from None
    return key, entry


def text_of_entry(entry: Mapping[str, Any]) -> str:
    """What is read of an entry: its title, where it has one, then its text."""
    return f"{entry.get('title') or ''} {entry['text']}".strip()
