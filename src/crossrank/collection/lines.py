"""Text files, plain or gzipped, read line by line. It knows files; not what their lines mean."""

import codecs
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from crossrank.errors import InputFileError

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}  # between cells; the last where numbers have commas
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how spreadsheets save "Unicode text"


def separator_of(first_line: str) -> str:
    """What cuts a table's first line into the most cells; a comma where another does no better."""
    return max(SEPARATORS, key=lambda one: len(next(csv.reader([first_line], delimiter=one), ())))


def existing(folder: Path | None, name: str) -> Path:
    """The file `name`.jsonl or `name`.jsonl.gz in a folder."""
    assert folder is not None, "bug: a file is looked for in no folder"
    for file in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"):
        if file.is_file():
            return file
    raise InputFileError(f"{folder} has no {name}.jsonl (nor .jsonl.gz); a set in BEIR layout needs one.")


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Each line with its number, from 1; of a plain or a gzipped file, in UTF-8 with or without a byte order mark."""
    try:
        packed = file.suffix == ".gz"
        with gzip.open(file, "rt", encoding="utf-8-sig") if packed else file.open(encoding="utf-8-sig") as lines:
            yield from enumerate(lines, 1)
    except UnicodeDecodeError:
        raise InputFileError(_not_utf8(file, packed=packed)) from None
    except (OSError, EOFError) as exc:
        raise InputFileError(f"{file} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc


def _not_utf8(file: Path, *, packed: bool) -> str:
    """The line and its first byte that is not UTF-8: the file is read anew, as text is decoded lines ahead."""
    with gzip.open(file, "rb") if packed else file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as exc:
                encoding = "UTF-16" if number == 1 and line.startswith(UTF16) else "LATIN1"
                return (
                    f"{file}, line {number}: byte 0x{line[exc.start]:02x} is not UTF-8. "
                    f"Convert the file: iconv -f {encoding} -t UTF-8 OLD > NEW."
                )
    return f"{file} was changed while it was read; try again."
