"""Plain values as YAML for a model to read: the text that PyYAML writes, without its time for every character.

It knows mappings, lists and scalars; not documents or fields. `tests/test_rendering.py` holds it to PyYAML's own text.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from yaml import SafeDumper

KEY_MAX = 122  # characters of a key that stands on a line with its value
CONTROL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\U0010ffff]"
)  # else written as escapes
TRAILING = re.compile(r"(?<! ) +\n")
INDICATOR = re.compile(r"---|\.\.\.|[#,\[\]{}&*!|>'\"%@`]|[-?](?: |\Z)")  # what no plain text begins with
OTHER_THAN_TEXT = SafeDumper.yaml_implicit_resolvers  # by first character: what would be read as a number, date ...


def dump(document: Mapping[Any, Any]) -> str:
    """One `key: value` a line, in the mapping's own order; no anchors, no escapes, and no line breaks of its own.

    Args:
        document: of None, str, bool, int, float, date, datetime, and lists and mappings (with scalars as keys) of them.
    """
    return _mapping(document, 0) if document else "{}"


def _mapping(entries: Mapping[Any, Any], indent: int) -> str:
    """The entries of a block mapping; the first line is not indented yet."""
    return f"\n{' ' * indent}".join(_entry(key, value, indent) for key, value in entries.items())


def _entry(key: Any, value: Any, indent: int) -> str:
    text = _cleaned(key) if isinstance(key, str) else _number(key)
    if not 0 < len(text) <= KEY_MAX or "\n" in text:
        return f"? {_below(key, indent)}\n{' ' * indent}: {_below(value, indent)}"
    shown = _key(text) if isinstance(key, str) else text
    if isinstance(value, Mapping) and value:
        return f"{shown}:\n{' ' * (indent + 2)}{_mapping(value, indent + 2)}"
    if isinstance(value, list) and value:
        return f"{shown}:\n{' ' * indent}{_sequence(value, indent)}"
    return f"{shown}: {_scalar(value, indent)}"


def _sequence(items: list[Any], indent: int) -> str:
    """The items of a block sequence; the first line is not indented yet."""
    return f"\n{' ' * indent}".join(f"- {_below(item, indent)}" for item in items)


def _below(value: Any, indent: int) -> str:
    """A value that begins on the line of a `-`, `?` or `:` at `indent`."""
    if isinstance(value, Mapping) and value:
        return _mapping(value, indent + 2)
    if isinstance(value, list) and value:
        return _sequence(value, indent + 2)
    return _scalar(value, indent)


def _scalar(value: Any, indent: int) -> str:
    """Text as it is where YAML allows it, else as lines of a block or in quotes; never with escapes."""
    if isinstance(value, Mapping | list):
        return "{}" if isinstance(value, Mapping) else "[]"
    if not isinstance(value, str):
        return _number(value)
    text = _cleaned(value)
    if _is_plain(text):
        return text
    if "\n" in text or "'" in text:  # in quotes, each apostrophe would be doubled
        return "|-" + _block(text, " " * (indent + 2))
    return f"'{text}'"


def _block(text: str, pad: str) -> str:
    """The lines of a text, each after a line break and `pad`, but for empty ones; fast for many of them."""
    lines = f"\n{text}".replace("\n", f"\n{pad}")
    for _ in range(2):  # of neighbouring empty lines, the first pass cannot see every second
        lines = lines.replace(f"\n{pad}\n", "\n\n")
    return lines


def _key(text: str) -> str:
    if _is_plain(text):
        return text
    return f"'{text}'" if "'" not in text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cleaned(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub(" ", text) if CONTROL.search(text) else text  # a search makes no copy of a huge text
    return (TRAILING.sub("\n", text) if " \n" in text else text).strip()


def _is_plain(text: str) -> bool:
    """Whether text without quotes is read back as the same text (YAML 1.1, plain style in block context)."""
    if not text or "\n" in text or ": " in text or " #" in text or text[-1] == ":" or INDICATOR.match(text):
        return False
    return not any(pattern.match(text) for _, pattern in OTHER_THAN_TEXT.get(text[0], ()))


def _number(value: Any) -> str:
    """What is no text: null, booleans, numbers and dates, as YAML 1.1 has them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(repr(value), repr(value))
        return text.replace("e", ".0e", 1) if "." not in text else text
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else str(value)
