"""From what a TOML file holds to frozen dataclasses, with every key, type and bound checked.

It knows dataclasses and messages; not what any key means.
"""

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from crossrank.errors import UsageError

T = TypeVar("T")
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def bounded(
    default: Any = dataclasses.MISSING,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
) -> Any:
    """A dataclass field whose number must be >= `least`, <= `most` and > `above`."""
    bounds = {"least": least, "most": most, "above": above}
    return dataclasses.field(default=default, metadata={k: v for k, v in bounds.items() if v is not None})


def build(kind: type[T], given: Any, where: str = "") -> T:
    """A dataclass from a TOML table; `where` is the table's own name, for messages.

    Raises:
        UsageError: a key is unknown or missing, or a value has a type or size that cannot be taken.
    """
    assert dataclasses.is_dataclass(kind), f"bug: {kind} is no dataclass"
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} must be a table, not {given!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in given:
        if key not in fields:
            close = get_close_matches(key, fields, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(fields)}."
            raise UsageError(f"{_path(where, key)} is no key of the config. {hint}")
    hints = get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in given:
            values[name] = _value(hints[name], given[name], _path(where, name))
            _check_bounds(values[name], field.metadata, _path(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UsageError(f"{_path(where, name)} is missing from the config.")
    return kind(**values)


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _value(hint: Any, given: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
        return _value(hint, given, where)
    if origin is Literal:
        if given not in get_args(hint):
            raise UsageError(f"{where} must be one of {', '.join(map(repr, get_args(hint)))}, not {given!r}.")
        return given
    if origin is tuple:
        if not isinstance(given, list):
            raise UsageError(f"{where} must be a list, not {given!r}.")
        return tuple(_value(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(given))
    if dataclasses.is_dataclass(hint):
        return build(hint, given, where)  # type: ignore[arg-type] # is_dataclass narrows too little
    if hint is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if not isinstance(given, hint) or (isinstance(given, bool) and hint is not bool):
        raise UsageError(f"{where} must be {NAMES[hint]}, not {given!r}.")
    return given


def _check_bounds(value: Any, bounds: Mapping[str, Any], where: str) -> None:
    if value is None or not bounds:
        return
    least, most, above = bounds.get("least"), bounds.get("most"), bounds.get("above")
    good = (
        value == value  # noqa: PLR0124 - nan is never within bounds
        and (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
    )
    if not good:
        rules = [
            f"at least {least:g}" if least is not None else "",
            f"above {above:g}" if above is not None else "",
            f"at most {most:g}" if most is not None else "",
        ]
        raise UsageError(f"{where} must be {' and '.join(filter(None, rules))}, not {value!r}.")
