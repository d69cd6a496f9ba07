"""`rank_dataset`: candidates of any number through a pool of workers on Ray Data, resumable.

It knows Ray; partitions, texts, formats and the output are the other modules' business, which know no Ray.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from crossrank.arguments import Wanted
from crossrank.cluster.inputs import Place, check_together, cut_file, places_of, tables_of
from crossrank.cluster.manifest import Entry, Manifest, Totals, check_same
from crossrank.cluster.output import Output, left
from crossrank.cluster.partition import Wish
from crossrank.cluster.plan import UNIT_ROWS, Partition, planned, repeated
from crossrank.cluster.scoring import checked, identity, opened
from crossrank.cluster.session import PLACED_S, check_nodes, connected, ray_module, versions
from crossrank.cluster.storage import Folder, everywhere
from crossrank.cluster.worker import Task, Worker
from crossrank.errors import CrossrankError, InputFileError, UsageError
from crossrank.progress import rows_bar

CPUS_MAX = 8  # of a worker, unless more are asked for: several workers scale better than many threads
RETRIES = 8  # of reading a file of candidates; a partition whose worker died is done again until `stall_s` is over
STALL_S = 3_600.0


def rank_dataset(
    queries: Place | Sequence[Place],
    candidates: Place | Sequence[Place],
    corpus: Place | Sequence[Place],
    out: Place,
    *,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    top_k: int | None = None,
    threshold: float | None = None,
    address: str | None = None,
    cpus_per_worker: int | None = None,
    gpus_per_worker: float = 0,
    workers_max: int | None = None,
    partition_rows: int | None = None,
    scratch: Place | None = None,
    resume: bool = False,
    overwrite: bool = False,
    stall_s: float = STALL_S,
    show_progress_bar: bool | None = None,
) -> Totals:
    """Rank the candidates of many queries on a Ray cluster; see docs/cluster.md for inputs, output and limits.

    Args:
        queries: Parquet, Arrow or JSON lines with an id and a text; files or folders, paths or URIs, as all inputs.
        candidates: a row a pair, with the ids of query and document; the rows of a query stand together.
        corpus: the documents: id, text, perhaps a title.
        out: a folder, which gets scores/, poison/ and manifest.json.
        model: as in `Reranker`; a folder must be there on every node.
        options: further options of `Reranker`, such as {"max_length": 256}. "auto" is resolved once, for all workers.
        columns: columns by role, such as {"corpus.text": "body"}, where they do not have one of the usual names.
        top_k: only the best documents of each query.
        threshold: only documents with at least this score.
        address: "host:port" of the cluster's head, "auto", or "local" for this machine; by default RAY_ADDRESS, else
            "local". Not looked at in a process that is connected to Ray already.
        cpus_per_worker: by default those of the smallest node, at most CPUS_MAX.
        gpus_per_worker: 1, or a part of one, for workers that compute on GPUs.
        workers_max: by default as many as the cluster can hold, now or when it has grown.
        partition_rows: rows of a partition, about; what is lost by a failure. Without meaning with `resume`.
        scratch: a folder on each node, for the texts; by default one for temporary files.
        resume: go on with what `out` holds, which must be the same job; it may be nothing.
        overwrite: begin anew, whatever job's results `out` holds.
        stall_s: seconds without any progress of any worker, after which the job ends with an error.
        show_progress_bar: None shows one on a terminal.

    Raises:
        UsageError: an argument cannot be taken, inputs do not fit together, or `out` holds another job's results.
        CrossrankError: the cluster cannot be reached, or a worker failed for a reason that trying again does not mend.
        MissingExtra: Ray or pyarrow is not installed.
    """
    wanted = Wanted.of(top_k, threshold)
    _check_counts(cpus_per_worker, gpus_per_worker, workers_max, partition_rows, stall_s)
    name, given = checked(model, options or {})
    output = Output(Folder(everywhere(out)))
    known = output.manifest(resume=resume, overwrite=overwrite)
    tables = tables_of(queries, candidates, corpus, columns or {})
    ray_module()
    with rows_bar(shown=show_progress_bar) as bar, connected(address) as ray:
        check_nodes(ray)
        task = Task(
            *tables,
            Wish(wanted.top_k, wanted.threshold),
            name,
            given,
            output.folder.uri,
            None if scratch is None else everywhere(scratch),
            cpus_per_worker or _cpus(ray),
            gpus_per_worker,
        )
        task = task.pinned(_asked(ray, _identity, task, cpus=task.cpus, gpus=task.gpus))
        manifest = _manifest(ray, task, output, known, partition_rows, stall_s)
        task = replace(task, digest=manifest.digest)
        return _run(ray, task, output, manifest, workers_max, stall_s, bar)


def _manifest(
    ray: Any, task: Task, output: Output, known: Manifest | None, partition_rows: int | None, stall_s: float
) -> Manifest:
    """The manifest that is gone on with, or a new one, which is written."""
    job = task.job()
    if known is not None:
        check_same(known.job, job, output.folder.uri)
        return replace(known, versions=versions())
    made = Manifest(job, _planned(ray, task, partition_rows, stall_s), versions())
    output.begin(made)
    return made


def _planned(ray: Any, task: Task, partition_rows: int | None, stall_s: float) -> list[Partition]:
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(cut_file)
    unit = min(partition_rows or UNIT_ROWS, UNIT_ROWS)
    files = _got(ray, [remote.remote(file, task.columns, unit) for file in task.candidates], stall_s)
    if suspects := repeated(files):
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(places_of)
        places = _got(ray, [remote.remote(file, task.columns, suspects) for file in task.candidates], stall_s)
        check_together([file.path for file in task.candidates], places)
    partitions = planned(files, partition_rows)
    if not partitions:
        raise InputFileError(f"{task.candidates[0].path} and the files beside it hold no candidates.")
    return partitions


def _identity(task: Task) -> dict[str, Any]:
    with opened(task.model, task.options, cpus=task.cpus, gpus=task.gpus) as ranker:
        return identity(ranker)


def _run(
    ray: Any,
    task: Task,
    output: Output,
    manifest: Manifest,
    workers_max: int | None,
    stall_s: float,
    bar: Any,
) -> Totals:
    output.sweep()
    entries = output.entries(manifest)
    partitions = list(left(manifest, entries))
    bar.set_description_str("Ranking", refresh=False)
    bar.reset(sum(part.rows for part in manifest.partitions))
    bar.initial = bar.n = sum(entry.partition.rows for entry in entries.values())  # they say nothing about the rate
    for entry in _streamed(ray, task, partitions, workers_max, stall_s) if partitions else ():
        entries[entry.partition.number] = entry
        bar.update(entry.partition.rows)
    lost = [part.number for part in manifest.partitions if part.number not in entries]
    assert not lost, f"bug: Ray Data ended without partitions {lost[:5]}"
    output.finish(replace(manifest, entries=entries))
    totals = Totals.of(entries.values())
    if totals.rows == sum(totals.poison.values()):
        raise InputFileError(
            f"none of the {totals.rows:,} candidates could be ranked: {_told(totals.poison)}. "
            f"{output.folder.uri}/poison says why, row by row."
        )
    return totals


def _streamed(
    ray: Any, task: Task, partitions: Sequence[Partition], workers_max: int | None, stall_s: float
) -> Iterator[Entry]:
    """The entries of the partitions, as they are done."""
    fit = max(1, min(_workers(ray, task), len(partitions), workers_max or len(partitions)))
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        max_size=workers_max,
        initial_size=fit,
        max_tasks_in_flight_per_actor=2,  # the next is there when one is done; more would make the end uneven
    )
    with _settings(ray, stall_s):
        # A block a partition: what is retried, shared out and held back is a partition, of which only numbers travel.
        items = [asdict(partition) for partition in partitions]
        done = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker,
            fn_constructor_args=(task,),
            batch_size=1,
            compute=pool,
            num_cpus=task.cpus,
            num_gpus=task.gpus or None,
        )
        try:
            for row in done.iter_rows():
                yield Entry.from_json(row["entry"])
        except Exception as exc:
            raise _translated(exc) from exc


@contextmanager
def _settings(ray: Any, stall_s: float) -> Iterator[None]:
    """Ray Data is silent, raises our errors as they are, and gives up without progress; as it was, afterwards."""
    context = ray.data.DataContext.get_current()
    wanted = {
        "enable_progress_bars": False,
        "raise_original_map_exception": True,
        "execution_no_progress_timeout_s": stall_s,
    }
    before = {name: getattr(context, name) for name in wanted}
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)  # what fails is raised; Ray Data would print each stack twice
        for name, value in wanted.items():
            setattr(context, name, value)
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


def _asked(ray: Any, function: Any, task: Task, *, cpus: int, gpus: float) -> Any:
    """What a function says on a worker of that size.

    Raises:
        CrossrankError: there is none, or the function's own error.
    """
    ref = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(function).remote(task)
    try:
        return ray.get(ref, timeout=PLACED_S)
    except ray.exceptions.GetTimeoutError as exc:
        ray.cancel(ref, force=True)
        sizes = sorted({(_has(node, "CPU"), _has(node, "GPU")) for node in ray.nodes() if node["Alive"]})
        there = ", ".join(f"{has:g} CPUs and {gpus_:g} GPUs" for has, gpus_ in sizes)
        raise CrossrankError(
            f"the cluster gave no worker with {cpus} CPUs and {gpus:g} GPUs within {PLACED_S:.0f} s; its nodes have "
            f"{there}. Wait for what else runs there, or ask for less with cpus_per_worker (--cpus) and "
            "gpus_per_worker (--gpus)."
        ) from exc
    except Exception as exc:
        raise _translated(exc) from exc


def _got(ray: Any, refs: Sequence[Any], stall_s: float) -> list[Any]:
    """The results, in order, as long as one comes every `stall_s` seconds."""
    waiting = list(refs)
    try:
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1, timeout=stall_s)
            ray.get(ready or waiting[0], timeout=stall_s if ready else 0)  # a failure is raised now, not after the last
        return list(ray.get(list(refs), timeout=stall_s))
    except ray.exceptions.GetTimeoutError as exc:
        raise CrossrankError(f"no file of candidates was read within {stall_s:.0f} s; see Ray's logs.") from exc
    except Exception as exc:
        raise _translated(exc) from exc


def _translated(exc: Exception) -> Exception:
    """Our own error, where one is behind what Ray raised; else what Ray says, as a failure of the cluster."""
    seen: BaseException | None = exc
    while seen is not None:
        cause = getattr(seen, "cause", None)
        if isinstance(cause, CrossrankError):
            return cause
        if isinstance(seen, CrossrankError) and not hasattr(seen, "cause"):
            return seen
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    last = str(exc).strip().splitlines()[-1:] or [type(exc).__name__]
    return CrossrankError(
        f"the cluster failed: {type(exc).__name__}: {last[0][:500]}. What was finished is kept; "
        "--resume goes on with it."
    )


def _cpus(ray: Any) -> int:
    """CPUs of the smallest node that has one."""
    return int(min([CPUS_MAX, *(has for node in ray.nodes() if node["Alive"] and (has := _has(node, "CPU")) >= 1)]))


def _workers(ray: Any, task: Task) -> int:
    """How many workers the nodes that are there can hold."""
    return sum(
        int(min(_has(node, "CPU") // task.cpus, _has(node, "GPU") / task.gpus if task.gpus else float("inf")))
        for node in ray.nodes()
        if node["Alive"]
    )


def _has(node: Mapping[str, Any], resource: str) -> float:
    return float(node["Resources"].get(resource, 0))


def _told(poison: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in poison.items())


def _check_counts(
    cpus: int | None, gpus: float, workers_max: int | None, partition_rows: int | None, stall_s: float
) -> None:
    counts = {"cpus_per_worker": cpus, "workers_max": workers_max, "partition_rows": partition_rows}
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"{name}={value!r}: give a whole number of at least 1, or leave it out.")
    if not gpus >= 0 or not stall_s > 0:
        raise UsageError(f"gpus_per_worker={gpus!r} must be 0 or more, and stall_s={stall_s!r} above 0.")
