"""From rankers and a collection to an evaluation: candidates, rankings, measures, comparisons.

It knows any Ranker by its protocol; not models, terminals or files other than the journal's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossrank.collection import Collection, Run
from crossrank.errors import UsageError
from crossrank.evaluate.candidates import (
    DEPTH,
    FirstStage,
    candidates_of,
    cut,
    from_bm25,
    from_pool,
    from_run,
    further_run,
    has_pools,
)
from crossrank.evaluate.compare import bootstrap_interval, compare, holm
from crossrank.evaluate.measure import MEASURES, Measure, parse_measures, per_query
from crossrank.evaluate.ranking import QueryRanked, Task, rank_all, speed_of
from crossrank.evaluate.result import Evaluation, Kind, Row, Score, Speed
from crossrank.evaluate.resume import Journal, Kept, Nowhere, header_of
from crossrank.types import Ranker


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row before it is measured."""

    name: str
    kind: Kind
    run: Run
    speed: Speed | None = None


def evaluate(
    rankers: Mapping[str, Ranker],
    collection: Collection,
    *,
    first_stage: FirstStage | Run | None = None,
    runs: Mapping[str, Run] | None = None,
    depth: int | None = None,
    measures: Sequence[str] = MEASURES,
    queries_max: int | None = None,
    folder: Path | None = None,
    identities: Mapping[str, str] | None = None,
    on_query: Callable[[QueryRanked], None] = lambda _: None,
    seed: int = 0,
) -> Evaluation:
    """What rankers make of a first stage's candidates, for each judged query; equal arguments give equal figures.

    Only queries with a relevant document count. All rows are cut at the same depth. A candidate without a text in the
    corpus comes last for every ranker.

    Args:
        rankers: by the name they get in tables; called once a query, one after the other.
        collection: queries, corpus and judgements.
        first_stage: from `from_run`, `from_pool` or `from_bm25`, or a run. None: each query's judged documents if most
            queries have relevant ones and others, else BM25.
        runs: further rankings by name, for the same table; they may have candidates of their own.
        depth: candidates a query; None for the first stage's own, which is 100 unless it is a pool.
        measures: names that ir-measures knows; the first one decides.
        queries_max: only the first so many judged queries.
        folder: where finished queries are kept (`results.jsonl`), and taken from when the same is evaluated again.
        identities: by ranker name, what its results depend on (a digest of its weights); `repr` where there is none.
        on_query: told after each query.
        seed: of the bootstrap and of the randomisation test.

    Raises:
        UsageError: the collection has no judged query, a judged query has no text, a measure is unknown, names are not
            unique, a run belongs to another collection, the folder is of another evaluation.
        NotFiniteError: a ranker gave NaN or infinity as a score.
        MissingExtra: ir-measures or bm25s is not installed.
    """
    parsed = parse_measures(measures)
    for name, value in (("depth", depth), ("queries_max", queries_max)):
        if value is not None and value < 1:
            raise UsageError(f"{name}={value} leaves nothing to rank; give at least 1, or None.")
    _check(collection)
    stage = _first_stage(first_stage, collection, depth)
    _check_names([stage.name, *(runs or {}), *rankers])
    candidates = candidates_of(stage, collection)
    queries = list(candidates.run)[:queries_max]
    entries = [_Entry(stage.name, "first stage", cut(candidates.run, queries, None))]
    for name, run in (runs or {}).items():
        entries.append(_Entry(name, "run", further_run(name, run, queries, stage.depth, collection.name)))
    with ExitStack() as stack:
        kept: Kept = Nowhere()
        if folder is not None:
            kept = stack.enter_context(Journal(folder, header_of(collection, candidates, stage.depth)))
        task = Task(collection, candidates, queries, kept, on_query)
        for name, ranker in rankers.items():
            ranked = list(rank_all(task, name, ranker, (identities or {}).get(name, repr(ranker))))
            entries.append(_Entry(name, "ranker", {one.query: one.run for one in ranked}, speed_of(ranked)))
    rows = _rows(entries, parsed, collection, queries, seed)
    names = tuple(measure.name for measure in parsed)
    notes = candidates.notes + _notes(parsed, stage, len(queries), len(candidates.run), entries)
    return Evaluation(collection.name, stage.origin, stage.depth, tuple(queries), names, rows, notes)


def _check(collection: Collection) -> None:
    judged = collection.judged
    if not judged:
        raise UsageError(
            f"{collection.name} has no judged query: none has a document with a grade above 0, so there is nothing to "
            "measure. Give judgements of these queries."
        )
    if blank := [query for query in judged if not collection.queries[query].strip()]:
        raise UsageError(
            f"{collection.name}: {len(blank):,} of {len(judged):,} judged queries have no text (the first: "
            f"{blank[0]!r}). Give their text, or take them out of the qrels."
        )


def _first_stage(given: FirstStage | Run | None, collection: Collection, depth: int | None) -> FirstStage:
    if isinstance(given, FirstStage):
        return given if depth is None else replace(given, depth=depth)
    if given is not None:
        return from_run(given, depth=depth or DEPTH)
    return from_pool(collection, depth=depth) if has_pools(collection) else from_bm25(collection, depth=depth or DEPTH)


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(f"Two rows of the table would be called {name!r}. Give each ranker and run its own name.")


def _rows(
    entries: Sequence[_Entry], measures: Sequence[Measure], collection: Collection, queries: Sequence[str], seed: int
) -> tuple[Row, ...]:
    """The entries with their measures, compared to the first one; p-values corrected for the number of others."""
    values = [per_query(measures, collection.qrels, entry.run, queries) for entry in entries]
    scores: list[dict[str, Score]] = [{} for _ in entries]
    for measure in measures:
        columns = [list(one[measure.name].values()) for one in values]
        raw = [compare(column, columns[0], seed=seed) for column in columns[1:]]
        corrected = holm([comparison.p for comparison in raw])
        compared = [None, *(replace(one, p_corrected=p) for one, p in zip(raw, corrected, strict=True))]
        for row, column, comparison in zip(range(len(entries)), columns, compared, strict=True):
            interval = bootstrap_interval(column, seed=seed)
            by_query = values[row][measure.name]
            scores[row][measure.name] = Score(float(np.mean(column)), interval, by_query, comparison)
    return tuple(
        Row(entry.name, entry.kind, found, entry.speed, entry.run) for entry, found in zip(entries, scores, strict=True)
    )


def _same_documents(run: Run, other: Run) -> bool:
    return all({document for document, _ in run[query]} == {document for document, _ in other[query]} for query in run)


def _notes(
    measures: Sequence[Measure], stage: FirstStage, evaluated: int, available: int, entries: Sequence[_Entry]
) -> tuple[str, ...]:
    notes = []
    if evaluated < available:
        notes.append(f"Only the first {evaluated:,} of {available:,} queries.")
    for entry in entries:
        lacking = sum(not found for found in entry.run.values())
        if entry.kind == "run" and lacking:
            notes.append(f"{entry.name} lacks {lacking:,} of {evaluated:,} queries; they count as 0 for it.")
        if entry.kind == "run" and not _same_documents(entry.run, entries[0].run):
            notes.append(f"{entry.name} ranks documents of its own, not those of {stage.name}.")
    deep = [m.name for m in measures if stage.depth is not None and m.definition.params.get("cutoff", 0) > stage.depth]
    if deep:
        notes.append(f"{', '.join(deep)} would look deeper than the {stage.depth} candidates of a query.")
    if evaluated < 10:
        notes.append(f"{evaluated} queries are few: expect other figures from others.")
    return tuple(notes)
