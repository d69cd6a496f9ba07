"""How candidates are cut into partitions: a range of neighbouring rows of one file, in which whole queries stand.

It is pure: it knows rows as (place, query id), and numbers; not files, texts or clusters.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

UNIT_ROWS = 2_048  # partitions are made of units of about so many rows
PARTITION_ROWS_MAX = 32_768
PARTITIONS = 256  # as many are aimed at: few enough to be files, enough to share among workers


@dataclass(frozen=True, slots=True)
class Partition:
    """A range of rows.

    Attributes:
        number: from 0, over all files.
        file: number of the file.
        start: number of its first row in the file.
        rows: how many.
        place: where the file's reader finds the first.
    """

    number: int
    file: int
    start: int
    rows: int
    place: int


@dataclass(frozen=True, slots=True)
class Cuts:
    """One file, cut into units.

    Attributes:
        rows: of the file.
        starts: number of each unit's first row, int64 [units].
        places: of these rows, int64 [units].
        queries: a hash of each group of neighbouring rows of one query, uint64 [groups].
    """

    rows: int
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    queries: NDArray[np.uint64]


def cut(rows: Iterable[tuple[int, str | None]], unit: int) -> Cuts:
    """A file's rows in units of at least `unit` rows, no query in two of them.

    Args:
        rows: place and query id of each row, in order; None for a row without one, which belongs to those before it.
        unit: rows, at least 1.
    """
    starts: list[int] = []
    places: list[int] = []
    queries: list[int] = []
    count, query = 0, None
    for place, name in rows:
        changed = name is not None and name != query
        if changed:
            query = name
            queries.append(hash_of(name or ""))
        if not starts or (changed and count - starts[-1] >= unit):
            starts.append(count)
            places.append(place)
        count += 1
    return Cuts(count, np.array(starts, np.int64), np.array(places, np.int64), np.array(queries, np.uint64))


def planned(files: Sequence[Cuts], partition_rows: int | None = None) -> list[Partition]:
    """The partitions of all files: neighbouring units of one file, until `partition_rows` rows are reached.

    Args:
        files: in order.
        partition_rows: by default what makes about PARTITIONS partitions, at most PARTITION_ROWS_MAX.
    """
    total = sum(cuts.rows for cuts in files)
    wanted = partition_rows or min(max(total // PARTITIONS, 1), PARTITION_ROWS_MAX)
    made: list[Partition] = []
    for file, cuts in enumerate(files):
        for first, after in _runs(cuts.starts.tolist(), cuts.rows, wanted):
            start = int(cuts.starts[first])
            made.append(Partition(len(made), file, start, after - start, int(cuts.places[first])))
    return made


def repeated(files: Iterable[Cuts]) -> frozenset[int]:
    """Hashes that more than one group of rows has: perhaps a query stands in two places."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(cuts.queries for cuts in files)])
    values, counts = np.unique(hashes, return_counts=True)
    return frozenset(values[counts > 1].tolist())


def hash_of(query: str) -> int:
    """64 bits of a query's id."""
    return int.from_bytes(blake2b(query.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _runs(starts: Sequence[int], rows: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Runs of units with at least `wanted` rows: number of the first unit, and the row after the last."""
    first = 0
    for unit, end in enumerate([*starts[1:], rows] if starts else []):
        if end - starts[first] >= wanted:
            yield first, end
            first = unit + 1
    if starts and first < len(starts):
        yield first, rows
