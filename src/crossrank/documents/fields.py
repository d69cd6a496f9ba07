"""Fields of structured documents by their paths: `title`, `author.name`, `sections[0].title`.

It knows mappings, lists and paths; not documents, texts or YAML.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crossrank.errors import DocumentError

EDGE = re.compile(r"(?<!^)(?:\.|\[)")  # where one step of a path may end and the next begin
INDEX = re.compile(r"\[(-?\d{1,9})\]")


def select(document: Mapping[str, Any], fields: Sequence[str], name: str = "the document") -> dict[str, Any]:
    """The values of these fields, by their paths and in their order; `name` is what messages call the document.

    A path's steps are the keys of mappings, with dots between them, and places in lists, in brackets and from 0 (or, if
    negative, from the end). At every step the longest key that the path begins with is taken: a key that is the whole
    path, dots and brackets included, comes before everything else.

    Raises:
        DocumentError: fields are missing; says of each how far its path leads, and what is there.
    """
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for field in fields:
        value, rest = _follow(document, field)
        if rest is None:
            found[field] = value
        else:
            missing[field] = _there(value, field[: len(field) - len(rest)].rstrip("."))
    if missing:
        raise DocumentError(
            f"{name} has no field {', '.join(map(repr, missing))}; {'; '.join(dict.fromkeys(missing.values()))}"
        )
    return found


def _follow(value: Any, path: str) -> tuple[Any, str | None]:
    """Where a path leads and None; or how far it leads, and the rest of it that is not there."""
    while True:
        end = _step(value, path)
        if end is None:
            return value, path
        value = value[path[:end]] if isinstance(value, Mapping) else value[int(path[1 : end - 1])]
        if end == len(path):
            return value, None
        path = path[end:].removeprefix(".")


def _step(value: Any, path: str) -> int | None:
    """The length of the first step of a path that `value` has; None if it has none."""
    if isinstance(value, Mapping):
        ends = (len(path), *(edge.start() for edge in reversed(list(EDGE.finditer(path)))))
        return next((end for end in ends if path[:end] in value), None)
    place = INDEX.match(path) if isinstance(value, list | tuple) else None
    return place.end() if place and -len(value) <= int(place[1]) < len(value) else None


def _there(value: Any, path: str) -> str:
    if isinstance(value, Mapping):
        keys = ", ".join(map(repr, value)) or "(none)"
        return f"its {path!r} has the fields: {keys}" if path else f"its fields are: {keys}"
    if isinstance(value, list | tuple):
        return f"its {path!r} is a list of {len(value)}, whose items are named as in {path + '[0]'!r}"
    return f"its {path!r} is of type {type(value).__name__}"
