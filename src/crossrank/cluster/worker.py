"""What each actor of the pool is: it opens the model and the texts once, then does one partition after the other.

It knows files, texts and a ranker; no cluster: a class that is called with a batch of partitions, as Ray Data does.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from crossrank.cluster.manifest import Entry, check_same
from crossrank.cluster.output import Output
from crossrank.cluster.partition import Done, Wish, joined, ranked
from crossrank.cluster.plan import Partition
from crossrank.cluster.scoring import identity, opened
from crossrank.cluster.storage import Folder, SourceFile
from crossrank.cluster.tables import rows
from crossrank.cluster.texts import Source, Staged, default_scratch
from crossrank.errors import CrossrankError, UsageError
from crossrank.lifetime import Closes
from crossrank.reranker import Reranker

LOST_MAX = 5  # workers that a partition may take along before it is taken for the reason


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker needs besides the partitions.

    Attributes:
        queries: texts of queries.
        corpus: texts of documents.
        candidates: files whose rows are ranked.
        columns: of the candidates: the query's id, the document's.
        wish: which hits are wanted.
        model: its name or folder.
        options: of `Reranker`.
        out: the folder of the output.
        scratch: where each node keeps the texts; None for its own folder of temporary files.
        cpus: of a worker.
        gpus: of a worker.
        identity: what `scoring.identity` must give; None before it is known.
        digest: of the job.
    """

    queries: Source
    corpus: Source
    candidates: tuple[SourceFile, ...]
    columns: tuple[str, str]
    wish: Wish
    model: str
    options: Mapping[str, Any]
    out: str
    scratch: str | None
    cpus: int
    gpus: float
    identity: Mapping[str, Any] | None = None
    digest: str = ""

    def job(self) -> dict[str, Any]:
        """All that the output depends on, as JSON."""
        files = {"queries": self.queries.files, "candidates": self.candidates, "corpus": self.corpus.files}
        columns = {"queries": self.queries.columns, "candidates": self.columns, "corpus": self.corpus.columns}
        return {
            "model": self.identity,
            "settings": {**asdict(self.wish), "options": dict(self.options)},
            "columns": {name: list(known) for name, known in columns.items()},
            "inputs": {name: [asdict(file) for file in known] for name, known in files.items()},
        }

    def pinned(self, found: Mapping[str, Any]) -> "Task":
        """The task with what "auto" was resolved into on a first worker, which holds for all of them."""
        chosen = {"backend": found["backend"], "precision": found["settings"]["precision"]}
        return replace(self, options={**self.options, **chosen}, identity=found)


class Worker(Closes):
    """Does partitions; nothing is opened before the first."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._output = Output(Folder(task.out))
        self._open: tuple[Reranker, Staged, Staged] | None = None

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
        """The entries, as JSON, of partitions given as columns."""
        columns = [[int(value) for value in batch[name]] for name in Partition.__slots__]
        return {"entry": [self.done(Partition(*values)).to_json() for values in zip(*columns, strict=True)]}

    def done(self, partition: Partition) -> Entry:
        """Do a partition, unless its output is there: whoever did it died before it could tell, or its node."""
        return self._output.entry(partition.number, self._task.digest) or self._made(partition)

    def close(self) -> None:
        """Free the model, and let the texts be removed; in a pool, the end of the process does it."""
        for opened_ in self._open or ():
            opened_.close()
        self._open = None

    def _made(self, partition: Partition) -> Entry:
        ranker, queries, corpus = self._open = self._open or self._opened()
        marks = [time.perf_counter()]
        task, done = self._task, Done()
        file = task.candidates[partition.file]
        if (lost := self._output.count_begun(partition.number)) >= LOST_MAX:
            raise CrossrankError(
                f"{file.path}, rows {partition.start:,} to {partition.start + partition.rows - 1:,}: {lost} workers "
                "died while they ranked them. Look into the nodes' logs: memory is the likeliest reason. --resume "
                "tries again."
            )
        found = [values for _, values in rows(file, task.columns, place=partition.place, count=partition.rows)]
        marks.append(time.perf_counter())
        asked = joined(found, partition.start, queries.texts.many, corpus.texts.many, done)
        marks.append(time.perf_counter())
        ranked(asked, ranker, task.wish, done)
        marks.append(time.perf_counter())
        took = [round(end - start, 6) for start, end in pairwise(marks)]
        entry = Entry(
            task.digest,
            partition,
            len(done.scores),
            done.reasons(),
            done.usage["pairs"],
            done.usage["tokens"],
            dict(zip(("read", "join", "rank"), took, strict=True)),
            f"{platform.node()}:{os.getpid()}",
        )
        self._output.commit(done, entry)
        return entry

    def _opened(self) -> tuple[Reranker, Staged, Staged]:
        task = self._task
        scratch = default_scratch() if task.scratch is None else Path(task.scratch)
        ranker = opened(task.model, task.options, cpus=task.cpus, gpus=task.gpus)
        check_identity(task, ranker)
        return ranker, Staged.of(task.queries, scratch), Staged.of(task.corpus, scratch)


def check_identity(task: Task, ranker: Reranker) -> None:
    """Raise if this node's model would not give the bits that the first worker's does.

    Raises:
        CrossrankError: the files, the precision or the instruction set are others.
    """
    try:
        check_same(task.identity or {}, identity(ranker), "model")
    except UsageError as exc:
        told = str(exc).partition(": ")[2].partition(". ")[0]
        raise CrossrankError(
            f"the model on node {platform.node()} is not that of the job: {told}. Give all nodes the same files; where "
            "their processors differ, set CROSSRANK_ISA to what all have."
        ) from exc
