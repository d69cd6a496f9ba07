"""The folder that a job writes: `scores/` and `poison/`, a file a partition, and `manifest.json`.

A partition's file of scores holds its manifest entry, so that both appear at once, by one renaming or one put, after
its side file: what is there is whole, and counts. It knows files and entries; not rankers or clusters.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from crossrank.cluster.manifest import Entry, Manifest
from crossrank.cluster.partition import POISON, SCORES, Done
from crossrank.cluster.plan import Partition
from crossrank.cluster.storage import Folder
from crossrank.errors import UsageError

MANIFEST = "manifest.json"
FOLDERS = ("scores", "poison")
BEGUN = "_begun"  # a file a partition that is being done: how often it was begun
ENTRY = b"crossrank.entry"  # key in a Parquet file's metadata
READERS = 16


@dataclass(frozen=True, slots=True)
class Output:
    """The folder of a job."""

    folder: Folder

    def manifest(self, *, resume: bool, overwrite: bool) -> Manifest | None:
        """What the folder is of, if its job is to be gone on with; None where a job begins.

        Raises:
            UsageError: something is there that was not asked to be gone on with or overwritten, or that is not ours.
        """
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other: go on with what is there, or begin anew.")
        content = self.folder.read(MANIFEST)
        if content is None:
            if not self.folder.is_empty():
                raise UsageError(f"{self.folder.uri} holds files that are no job's. Give an empty folder with --out.")
            return None
        if not (resume or overwrite):
            raise UsageError(
                f"{self.folder.uri} holds a job's results. Give --resume to go on with it, --overwrite to begin anew, "
                "or another --out."
            )
        return Manifest.load(content, f"{self.folder.uri}/{MANIFEST}") if resume else None

    def begin(self, manifest: Manifest) -> None:
        """Put a new job's manifest in place of whatever job was there."""
        for below in (*FOLDERS, BEGUN):
            self.folder.remove(f"{below}/{name}" for name in self.folder.names(below))
        self.folder.write(MANIFEST, manifest.dump())

    def sweep(self) -> None:
        """Remove what killed workers of an earlier run left behind, and forget how often they died."""
        for below in FOLDERS:
            self.folder.sweep(below)
        self.folder.drop(BEGUN)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest with its entries."""
        self.folder.write(MANIFEST, manifest.dump())
        self.folder.drop(BEGUN)

    def entry(self, number: int, job: str) -> Entry | None:
        """What came of a partition, if its file is there and this job's."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.folder.opened(scores_name(number)) as opened:
                known = (pq.read_schema(opened).metadata or {})[ENTRY]
            entry = Entry.from_json(known)
        except (FileNotFoundError, KeyError, TypeError, ValueError, pa.ArrowException):
            return None  # not there; or not whole, as no store of ours leaves a file
        return entry if entry.job == job else None

    def entries(self, manifest: Manifest) -> dict[int, Entry]:
        """Of all partitions that are done."""
        there = set(self.folder.names("scores"))
        numbers = [part.number for part in manifest.partitions if scores_name(part.number).split("/")[1] in there]
        job = manifest.digest
        with ThreadPoolExecutor(READERS) as pool:
            found = pool.map(lambda number: self.entry(number, job), numbers)
            return {number: entry for number, entry in zip(numbers, found, strict=True) if entry is not None}

    def count_begun(self, number: int) -> int:
        """Note that a partition is begun; how often it was before, in this run, by workers that did not come back."""
        before = int(self.folder.read(begun_name(number)) or 0)
        self.folder.write(begun_name(number), str(before + 1).encode())
        return before

    def commit(self, done: Done, entry: Entry) -> None:
        """Write a partition: its side file, then scores and entry, which are there at once."""
        number = entry.partition.number
        if done.poison:
            self.folder.write(poison_name(number), _parquet(POISON, done.poison, {}))
        self.folder.write(scores_name(number), _parquet(SCORES, done.scores, {ENTRY: entry.to_json().encode()}))
        self.folder.remove([begun_name(number)])


def scores_name(number: int) -> str:
    """Of a partition's file of scores."""
    return f"scores/part-{number:06d}.parquet"


def poison_name(number: int) -> str:
    """Of a partition's side file."""
    return f"poison/part-{number:06d}.parquet"


def begun_name(number: int) -> str:
    """Of the file that counts how often a partition was begun."""
    return f"{BEGUN}/part-{number:06d}"


def _parquet(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]], metadata: Mapping[bytes, bytes]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema.with_metadata(dict(metadata))), sink, compression="zstd")
    return sink.getvalue()


def left(manifest: Manifest, done: Mapping[int, Entry]) -> Iterator[Partition]:
    """Partitions that are still to be done, in order."""
    return (partition for partition in manifest.partitions if partition.number not in done)
