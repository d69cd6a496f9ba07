"""Data sets of short texts for tests of jobs, what one process makes of them, and clusters of several nodes."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crossrank import Reranker

WORDS = ("river", "city", "music", "engine", "rain", "light", "water", "stone", "paper", "code", "road", "history")
FOLDERS = ("queries", "candidates", "corpus")
STARTS = 4  # of a node
Score = tuple[str, str, int, float, float]  # query, document, rank, score, logit


@dataclass(frozen=True)
class Dataset:
    """Three tables on disk."""

    folder: Path
    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    candidates: list[tuple[str, str]]

    @property
    def places(self) -> tuple[str, str, str]:
        """As `rank_dataset` takes them."""
        queries, candidates, corpus = (str(self.folder / name) for name in FOLDERS)
        return queries, candidates, corpus

    def expected(self, ranker: Reranker) -> dict[int, Score]:
        """What one process makes of it, by the number of the candidate's row, if it is one file."""
        rows: dict[str, list[int]] = {}
        for row, (query, _) in enumerate(self.candidates):
            rows.setdefault(query, []).append(row)
        texts = [self.queries[query] for query in rows]
        documents = [[self.corpus[self.candidates[row][1]] for row in found] for found in rows.values()]
        found = {}
        for (query, numbers), ranking in zip(rows.items(), ranker.rank_many(texts, documents), strict=True):
            for hit in ranking:
                row = numbers[hit.index]
                assert hit.score is not None
                assert hit.logit is not None
                found[row] = (query, self.candidates[row][1], hit.rank, hit.score, hit.logit)
        return found


def make_dataset(folder: Path, *, queries: int, depth: int, documents: int, seed: int = 0) -> Dataset:
    """Short texts, in Parquet; each query with `depth` candidates."""
    chance = random.Random(seed)
    asked = {f"q{i}": f"{' '.join(chance.choices(WORDS, k=3))} {i}" for i in range(queries)}
    corpus = {f"d{i}": " ".join(chance.choices(WORDS, k=chance.randint(3, 6))) for i in range(documents)}
    pairs = [(query, f"d{chance.randrange(documents)}") for query in asked for _ in range(depth)]
    made = Dataset(folder, asked, corpus, pairs)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    write(folder / "queries" / "queries.parquet", {"query_id": list(asked), "text": list(asked.values())})
    write(folder / "corpus" / "corpus.parquet", {"document_id": list(corpus), "text": list(corpus.values())})
    ids, found = zip(*pairs, strict=True)
    write(folder / "candidates" / "run.parquet", {"query_id": ids, "document_id": found}, row_group_size=10_000)
    return made


def write(file: Path, columns: Mapping[str, Any], **options: Any) -> None:
    """A table of Parquet, Arrow or JSON lines, by the file's ending."""
    table = pa.table({name: list(values) for name, values in columns.items()})
    if file.suffix == ".parquet":
        pq.write_table(table, file, **options)
    elif file.suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=options.get("row_group_size"))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")


def read(out: Path, below: str = "scores") -> list[dict[str, Any]]:
    """All rows of a job's output, a partition after the other."""
    return [row for file in sorted((out / below).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def scores(out: Path) -> dict[int, Score]:
    """A job's output by the number of the candidate's row, each of which is there once."""
    rows = read(out)
    found = {
        row["row"]: tuple(row[name] for name in ("query_id", "document_id", "rank", "score", "logit")) for row in rows
    }
    assert len(found) == len(rows), "a row is there twice"
    return found


class Nodes:
    """A Ray cluster on this machine: a head without CPUs, and nodes of one CPU, which can be killed."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self._folder = tempfile.mkdtemp(prefix="cr", dir="/tmp")  # short: sockets' names have a limit
        self._cluster = Cluster()
        try:
            self._add(num_cpus=0, include_dashboard=False, temp_dir=self._folder)
            self.nodes = [self.add() for _ in range(nodes)]
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        """One more node."""
        return self._add(num_cpus=1)

    def add_one(self) -> None:
        """A node in place of one that was killed."""
        self.nodes.append(self.add())

    def kill(self, node: Any) -> None:
        """As if its machine had gone: no process of it says goodbye."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add(self, **options: Any) -> Any:
        bounded = {"object_store_memory": 80 << 20}
        for _ in range(STARTS - 1):
            try:
                return self._cluster.add_node(**bounded, **options)
            except (Exception, SystemExit) as exc:  # Ray raises just these
                if "timed out during startup" not in str(exc) and not isinstance(exc, SystemExit):
                    raise  # else a busy machine took over 30 s
        return self._cluster.add_node(**bounded, **options)


@contextmanager
def cluster(nodes: int) -> Iterator[Nodes]:
    """Several nodes, gone at the end."""
    made = Nodes(nodes)
    try:
        yield made
    finally:
        made.close()


def driver(dataset: Dataset, out: Path, address: str, *options: str) -> "subprocess.Popen[str]":
    """The command, as a process of its own."""
    queries, candidates, corpus = dataset.places
    command = [
        sys.executable,
        "-m",
        "crossrank",
        "rank-dataset",
        "--queries",
        queries,
        "--candidates",
        candidates,
    ]
    command += ["--corpus", corpus, "--out", str(out), "--address", address, "--cpus", "1", *options]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
