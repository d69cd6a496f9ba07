"""Where calibrations are kept: beside a model, under a name in the cache folder, in any file.

It knows files and names; not how a calibration comes about.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from crossrank.calibration.origin import Origin
from crossrank.calibration.value import Calibration
from crossrank.errors import ArgumentTypeError, InputFileError, UsageError
from crossrank.machine import CACHE_VARIABLE, cache_folder, make_private
from crossrank.writing import write_whole

log = logging.getLogger("crossrank")

AUTO = "auto"
FILE = "calibration.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Given = str | PathLike[str] | Calibration | None


def opened(given: Given, folder: Path, origin: Callable[[], Origin]) -> Calibration | None:
    """The calibration that a reranker of the model in `folder` was given.

    Args:
        given: a `Calibration`; a name, or a file (with a slash, or .json at its end); None for none. "auto" is the file
            calibration.json beside the model, if there is one. It is left alone, with a warning, where it is for
            other logits: nobody asked for it.
        folder: of the model.
        origin: gives what the model's logits are; asked only where there is a calibration.

    Raises:
        UsageError, ArgumentTypeError: there is no such calibration, or it is not for this model.
        InputFileError: its file cannot be read.
    """
    if given is None:
        return None
    if isinstance(given, Calibration):
        given.check(origin(), "The calibration")
        return given
    if given == AUTO:
        return _unasked(beside(folder), origin)
    file = _file_of(given)
    calibration = read(file)
    calibration.check(origin(), f"The calibration {file}")
    return calibration


def beside(folder: Path) -> Path:
    """The file of the calibration that belongs to the model in `folder`."""
    return folder / FILE


def file_of_name(name: str) -> Path:
    """The file of a name; it may not exist."""
    if not NAME.fullmatch(name) or name == AUTO:
        raise UsageError(
            f"{name!r} cannot be a calibration's name; a name is up to 64 letters, digits, dots, dashes and "
            f"underscores, and not {AUTO!r}. A file is given with a slash in it, as in ./{FILE}."
        )
    return _named() / f"{name}.json"


def read(file: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        InputFileError: there is none that can be read.
    """
    try:
        return Calibration.of_json(json.loads(file.read_bytes()))
    except FileNotFoundError:
        raise InputFileError(f"{file}: no such file. `crossrank calibrate MODEL --labels FILE` makes one.") from None
    except OSError as exc:
        raise InputFileError(f"{file} cannot be read: {exc.strerror or exc}.") from exc
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise InputFileError(f"{file} is no calibration of crossrank's ({type(exc).__name__}: {exc}).") from exc


def write(calibration: Calibration, file: Path) -> None:
    """Write a calibration to a file, whole or not at all; what was there is replaced.

    Raises:
        OSError: the place cannot be written.
    """
    content = json.dumps(calibration.as_json(), indent=2, allow_nan=False)
    make_private(file.parent)
    write_whole(file, content)


def _unasked(file: Path, origin: Callable[[], Origin]) -> Calibration | None:
    if not file.is_file():
        return None
    try:
        calibration = read(file)
        calibration.check(origin(), f"The calibration {file}")
    except UsageError as exc:
        log.warning("no probabilities: %s", exc)
        return None
    return calibration


def _file_of(given: Any) -> Path:
    if isinstance(given, PathLike) or (isinstance(given, str) and (given.endswith(".json") or os.sep in given)):
        return Path(given).expanduser()
    if not isinstance(given, str):
        raise ArgumentTypeError(f"calibration must be a name, a file or a Calibration, not {type(given).__name__}")
    file = file_of_name(given)
    if not file.is_file():
        there = ", ".join(sorted(one.stem for one in file.parent.glob("*.json"))) or "none"
        raise UsageError(
            f"There is no calibration named {given!r} (there are: {there}). Make it with `crossrank calibrate MODEL "
            f"--labels FILE --name {given}`, or give a file, as ./{FILE}."
        )
    return file


def _named() -> Path:
    caches = cache_folder()
    if caches is None:
        raise UsageError(f"Calibrations have no place: there is no home folder. Set {CACHE_VARIABLE} to a folder.")
    return caches / "calibrations"
