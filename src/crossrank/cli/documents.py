"""Documents from files: .txt (a line each), .jsonl, .json, .csv, or standard input. It knows no models or rankings."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from crossrank.collection.lines import SEPARATORS, UTF16, separator_of
from crossrank.documents.texts import check_fields, text_of
from crossrank.errors import DocumentError, InputFileError

FORMATS = ("txt", "jsonl", "json", "csv")
SUFFIXES = {".ndjson": "jsonl", ".tsv": "csv"}  # other endings of the same formats
STDIN = "-"
BYTES_MAX = 512_000_000  # a file is read whole, and takes some times its size; no larger one fills the memory unasked
CELL_MAX = 2**31 - 1  # characters of a CSV cell; the csv module's own limit is 128 Ki
PREVIEW = 60

Numbered = Iterator[tuple[int, Any]]  # line numbers with documents


@dataclass(frozen=True, slots=True)
class Line:
    """A document of a file. It goes wherever a ranker takes documents: it has a `text`.

    Attributes:
        document: the string or object that stands in the file.
        line: the line of the file that it starts on, from 1; for .json its place in the list, from 1.
        text: what the model reads of it.
    """

    document: str | dict[str, Any]
    line: int
    text: str


def read_documents(source: str, file_format: str | None = None, fields: Sequence[str] | None = None) -> list[Line]:
    """The documents of a file or of standard input ("-": a line each, unless a format is given); at least one.

    Raises:
        InputFileError: the file cannot be read, is not UTF-8 or not of its format, or is empty; names the line.
        DocumentError: a document lacks one of the fields, or cannot be rendered; names its line and index.
    """
    check_fields(fields)
    name = "standard input" if source == STDIN else source
    kind = file_format or _format_of(source)
    text = _decode(_bytes(source), name)
    lines = []
    for index, (number, document) in enumerate(PARSERS[kind](text, name)):
        try:
            lines.append(Line(document, number, text_of(document, f"documents[{index}]", fields)))
        except DocumentError as exc:
            raise DocumentError(f"{name}, {'item' if kind == 'json' else 'line'} {number}: {exc}") from None
    if not lines:
        raise InputFileError(f"{name} holds no documents; there is nothing to rank.")
    return lines


def read_text(source: str) -> str:
    """All of a file, or of standard input ("-"), as one text.

    Raises:
        InputFileError: it cannot be read, or is not UTF-8.
    """
    return _decode(_bytes(source), "standard input" if source == STDIN else source)


def _format_of(source: str) -> str:
    suffix = Path(source).suffix.lower()
    kind = SUFFIXES.get(suffix, suffix.lstrip("."))
    if kind in FORMATS:
        return kind
    if source == STDIN or not Path(source).is_file():
        return "txt"  # a pipe; and of what cannot be opened, opening it will tell
    raise InputFileError(
        f"{source}: {suffix or 'a name without an ending'} does not tell the format. "
        f"Name the file .txt, .jsonl, .json, .csv or .tsv, or give --format ({', '.join(FORMATS)})."
    )


def _bytes(source: str) -> bytes:
    name = "standard input" if source == STDIN else source
    try:
        with _stdin() if source == STDIN else Path(source).open("rb") as file:
            size = os.fstat(file.fileno()).st_size if source != STDIN else 0
            content = b"" if size > BYTES_MAX else file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputFileError(f"{source}: no such file. Give a file of documents, or - for standard input.") from None
    except IsADirectoryError:
        raise InputFileError(f"{source} is a folder; give a file (.txt, .jsonl, .json or .csv).") from None
    except InputFileError:  # NOTE: is an OSError too
        raise
    except OSError as exc:
        raise InputFileError(f"{source} cannot be read: {exc.strerror or exc}.") from exc
    if max(size, len(content)) > BYTES_MAX:
        raise InputFileError(
            f"{name} has {f'{size:,}' if size else f'more than {BYTES_MAX:,}'} bytes; it would be read whole, and may "
            f"have {BYTES_MAX:,}. Split it (split -C 500MB FILE), or rank candidates from it: crossrank rank --queries."
        )
    return content


def _stdin() -> AbstractContextManager[BinaryIO]:
    if sys.stdin is None:
        raise InputFileError("standard input is closed; give a file of documents.")
    if sys.stdin.isatty():
        sys.stderr.write("Reading documents from the terminal, one a line; end with Ctrl-D, give up with Ctrl-C.\n")
        sys.stderr.flush()
    return nullcontext(sys.stdin.buffer)


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        at = exc.start + (len(content) - len(exc.object))  # the decoder was given what follows a byte order mark
        line = content[:at].count(b"\n") + 1
        encoding, more = ("UTF-16", "") if content.startswith(UTF16) else ("LATIN1", " (with its real encoding)")
        raise InputFileError(
            f"{name}, line {line}: byte 0x{content[at]:02x} is not UTF-8. "
            f"Convert the file: iconv -f {encoding} -t UTF-8 OLD > NEW{more}."
        ) from None


def _txt(text: str, name: str) -> Numbered:  # noqa: ARG001 - as the other parsers
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _jsonl(text: str, name: str) -> Numbered:
    for number, line in _txt(text, name):
        try:
            document = JSON.decode(line)
        except json.JSONDecodeError as exc:
            raise InputFileError(
                f"{name}, line {number}: broken JSON at column {exc.colno} ({exc.msg}). Each line is one document."
            ) from None
        except (ValueError, RecursionError) as exc:
            raise InputFileError(f"{name}, line {number}: {_reason(exc)}.") from None
        yield number, _checked(document, f"{name}, line {number}")


def _json(text: str, name: str) -> Numbered:
    try:
        documents = JSON.decode(text)
    except json.JSONDecodeError as exc:
        more = (
            " For one JSON document a line, name it .jsonl or give --format jsonl." if exc.msg == "Extra data" else ""
        )
        raise InputFileError(
            f"{name}, line {exc.lineno}: broken JSON at column {exc.colno} ({exc.msg}).{more}"
        ) from None
    except (ValueError, RecursionError) as exc:
        raise InputFileError(f"{name}: {_reason(exc)}.") from None
    if not isinstance(documents, list):
        kind = "object" if isinstance(documents, dict) else json.dumps(documents)[:PREVIEW]
        raise InputFileError(f"{name} holds one {kind}; it must be a JSON list of documents.")
    for number, document in enumerate(documents, 1):
        yield number, _checked(document, f"{name}, item {number}")


def _csv(text: str, name: str) -> Numbered:
    csv.field_size_limit(CELL_MAX)
    separator = separator_of(text.lstrip("\n").partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    start = 1
    try:
        for row in reader:
            if row and not columns:
                columns = row
                if len(set(columns)) < len(columns):
                    raise InputFileError(f"{name}, line {start}: two columns have the same name. Each needs its own.")
            elif row and len(row) != len(columns):
                raise InputFileError(
                    f"{name}, line {start}: {len(row)} cells, but the first line names {len(columns)} columns. "
                    f"Quote cells that hold {SEPARATORS[separator]}."
                )
            elif row:
                yield start, dict(zip(columns, row, strict=True))
            start = reader.line_num + 1
    except csv.Error as exc:
        raise InputFileError(f"{name}, line {start}: broken CSV ({exc}).") from None


PARSERS: Mapping[str, Callable[[str, str], Numbered]] = {"txt": _txt, "jsonl": _jsonl, "json": _json, "csv": _csv}


def _checked(document: Any, place: str) -> str | dict[str, Any]:
    if isinstance(document, str | dict):
        return document
    raise InputFileError(f"{place}: a document is a string or an object, not {json.dumps(document)[:PREVIEW]}.")


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError(f"the number {number[:PREVIEW]} is too large")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON value (null is)")


JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)  # what is read can be printed as JSON again


def _reason(exc: Exception) -> str:
    return "JSON nested too deeply to be read" if isinstance(exc, RecursionError) else str(exc).split(";")[0]
