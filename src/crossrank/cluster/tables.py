"""Rows of a file of Parquet, Arrow or JSON lines, from any place in it on: as Python values of named columns.

It knows formats; not what the columns mean, nor where files lie. A *place* is a number that says where a row is; only
the reader that gave it can read it.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crossrank.cluster.storage import SourceFile
from crossrank.errors import InputFileError

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
PACKED = (".jsonl.gz", ".ndjson.gz")
LINES = (".jsonl", ".ndjson", *PACKED)
ENDINGS = (*PARQUET, *ARROW, *LINES)
BATCH_ROWS = 8_192
INNER_BITS = 32  # a place in Parquet and Arrow: the row group or batch, then the row in it

Columns = Mapping[str, str]  # a column's kind, "string", "integer" or the file's own word for it, by its name


@dataclass(frozen=True, slots=True)
class Broken:
    """What stands where a row should be."""

    why: str


Row = tuple[int, Sequence[Any] | Broken]  # place, and the values in the order of the columns asked for


def columns_of(file: SourceFile) -> Columns:
    """The columns of a file; of JSON lines the keys of the first object, whose kinds are not told ("any").

    Raises:
        InputFileError: it cannot be read as what its name says.
    """
    if file.path.lower().endswith(LINES):
        found = (entry for _, entry in _objects(file, 0) if isinstance(entry, dict))
        return dict.fromkeys(next(found, {}), "any")
    with file.opened() as opened, _reading(file):
        return {field.name: _kind(field.type) for field in _schema(file, opened)}


def rows(file: SourceFile, columns: Sequence[str], *, place: int = 0, count: int | None = None) -> Iterator[Row]:
    """At most `count` rows from a place on, in order; a column that a row of JSON lacks is None.

    Raises:
        InputFileError: it cannot be read as what its name says.
    """
    name = file.path.lower()
    if name.endswith(LINES):
        found = _lines(file, columns, place)
    else:
        found = (_parquet if name.endswith(PARQUET) else _arrow)(file, columns, place)
    return islice(found, count)


def _lines(file: SourceFile, columns: Sequence[str], place: int) -> Iterator[Row]:
    for at, entry in _objects(file, place):
        yield at, entry if isinstance(entry, Broken) else [entry.get(column) for column in columns]


def _objects(file: SourceFile, place: int) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    packed = file.path.lower().endswith(PACKED)
    with file.opened(compressed=packed) as opened, _reading(file):
        if place and not packed:
            opened.seek(place)
            at, skip = place, 0
        else:
            at, skip = 0, place
        for line in io.BufferedReader(opened, 1 << 20):
            if line.strip() and at >= skip:
                yield at, _object(line)
            at += len(line)


def _object(line: bytes) -> dict[str, Any] | Broken:
    try:
        entry = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        return Broken(f"no JSON: {exc}")
    return entry if isinstance(entry, dict) else Broken(f"a JSON {type(entry).__name__}, not an object")


def _parquet(file: SourceFile, columns: Sequence[str], place: int) -> Iterator[Row]:
    import pyarrow.parquet as pq

    first, inner = divmod(place, 1 << INNER_BITS)
    with file.opened() as opened, _reading(file), pq.ParquetFile(opened) as table:
        for group in range(first, table.num_row_groups):
            at = 0
            for batch in table.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(dict.fromkeys(columns))):
                yield from _of_batch(batch, columns, group, at, inner if group == first else 0)
                at += batch.num_rows


def _arrow(file: SourceFile, columns: Sequence[str], place: int) -> Iterator[Row]:
    import pyarrow as pa

    first, inner = divmod(place, 1 << INNER_BITS)
    with file.opened() as opened, _reading(file), pa.ipc.open_file(opened) as table:
        for number in range(first, table.num_record_batches):
            batch = table.get_batch(number)
            yield from _of_batch(batch, columns, number, 0, inner if number == first else 0)


def _of_batch(batch: Any, columns: Sequence[str], group: int, at: int, inner: int) -> Iterator[Row]:
    """The rows of a batch that begins `at` so many rows into its group, without those before `inner`."""
    skipped = min(max(0, inner - at), batch.num_rows)
    values = [batch.column(column).slice(skipped).to_pylist() for column in columns]
    yield from enumerate(zip(*values, strict=True), (group << INNER_BITS) + at + skipped)


def _schema(file: SourceFile, opened: Any) -> Any:
    if file.path.lower().endswith(PARQUET):
        import pyarrow.parquet as pq

        return pq.read_schema(opened)
    import pyarrow as pa

    return pa.ipc.open_file(opened).schema


def _kind(given: Any) -> str:
    from pyarrow import types

    inner = given.value_type if types.is_dictionary(given) else given
    if types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner):
        return "string"
    return "integer" if types.is_integer(inner) else str(given)


@contextmanager
def _reading(file: SourceFile) -> Iterator[None]:
    """Translates what a library says of a broken file."""
    try:
        yield
    except InputFileError:
        raise
    except (OSError, ValueError, EOFError) as exc:  # pyarrow's own errors are ValueErrors
        raise InputFileError(f"{file.path} cannot be read as what its name says: {exc}") from exc
