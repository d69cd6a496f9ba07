"""The documents that rankers are given for each query: from a run, from the judgements, or found with BM25.

It knows collections and runs; not rankers or measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossrank.collection import Collection, Run
from crossrank.errors import UsageError
from crossrank.evaluate.bm25 import Bm25

DEPTH = 100  # documents a query, unless told otherwise
MISSING_SHARE_MAX = 0.01  # of candidates without a text: so many are told of, more are an error


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Each query's candidates, in the order that rankers have to improve on.

    Attributes:
        name: for tables.
        origin: a sentence's end that says where the candidates are from.
        run: by query id, best first.
        depth: candidates of a query at most; None for all.
        notes: what a reader should know about it.
    """

    name: str
    origin: str
    run: Run
    depth: int | None = DEPTH
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidates:
    """What of a first stage can be ranked.

    Attributes:
        run: the first stage's, cut at its depth, for the judged queries that it has.
        ids: by query id, the documents that have a text, best first.
        notes: what a reader should know about them.
    """

    run: Run
    ids: Mapping[str, list[str]]
    notes: tuple[str, ...]


def from_run(run: Run, *, name: str = "first stage", origin: str | None = None, depth: int = DEPTH) -> FirstStage:
    """The first `depth` documents of a run."""
    return FirstStage(name, origin or f"the first {depth} of the run {name}", run, depth)


def from_bm25(collection: Collection, *, depth: int = DEPTH) -> FirstStage:
    """What BM25 finds in the corpus."""
    queries = {query: collection.queries[query] for query in collection.judged}
    found = Bm25(collection.corpus).search(queries, depth)
    return FirstStage("BM25", f"the first {depth} that BM25 finds in the corpus", found, depth, _absent(collection))


def from_pool(collection: Collection, *, depth: int | None = None) -> FirstStage:
    """Each query's judged documents, as far as the corpus has them, in BM25's order.

    Raises:
        UsageError: no pool has a document that is not relevant, so that any order would be perfect.
    """
    pools = {query: _pool(collection, query) for query in collection.judged}
    if not any(_mixed(collection, query, pool) for query, pool in pools.items()):
        raise UsageError(
            f"{collection.name}: the judgements hold one class only: no query has both relevant documents and others, "
            "so that any order of them is perfect. Give --run or --bm25 instead of --pool."
        )
    bm25 = Bm25(collection.corpus)
    run = {query: bm25.order(collection.queries[query], pool) for query, pool in pools.items()}
    return FirstStage("BM25", "each query's judged documents (BM25 orders them)", run, depth, _absent(collection))


def has_pools(collection: Collection) -> bool:
    """Whether most queries have judged documents of both kinds, so that reranking them is the natural task."""
    judged = collection.judged
    return 2 * sum(_mixed(collection, query, _pool(collection, query)) for query in judged) > len(judged)


def candidates_of(first_stage: FirstStage, collection: Collection) -> Candidates:
    """The first stage's documents for the judged queries that it has, checked against the corpus.

    Raises:
        UsageError: the run has none of the queries, or more than 1 % of its documents have no text in the corpus.
    """
    judged = collection.judged
    if not any(first_stage.run.get(query) for query in judged):
        raise _foreign(first_stage.name, first_stage.run, judged, collection.name)
    run = cut(first_stage.run, [query for query in judged if query in first_stage.run], first_stage.depth)
    ids = {query: [document for document, _ in found if document in collection.corpus] for query, found in run.items()}
    total, missing = sum(map(len, run.values())), [d for f in run.values() for d, _ in f if d not in collection.corpus]
    if len(missing) > MISSING_SHARE_MAX * total:
        raise UsageError(
            f"{first_stage.name}: {len(missing):,} of {total:,} candidates have no text in the corpus of "
            f"{collection.name} (the first: {missing[0]!r}). Give the corpus that the run was made from, or --bm25."
        )
    notes = list(first_stage.notes)
    if missing:
        notes.append(
            f"{len(missing):,} of {total:,} candidates have no text in the corpus; rankers leave them at the end."
        )
    if len(run) < len(judged):
        notes.append(f"{first_stage.name} has {len(run):,} of the {len(judged):,} judged queries; others are left out.")
    if empty := sum(not found for found in run.values()):
        notes.append(f"{empty:,} of {len(run):,} queries have no candidates; they count as 0 for all.")
    return Candidates(run, ids, tuple(notes))


def further_run(name: str, run: Run, queries: Sequence[str], depth: int | None, collection: str) -> Run:
    """The part of a run beside the first stage that is evaluated.

    Raises:
        UsageError: the run has none of the queries.
    """
    if not any(run.get(query) for query in queries):
        raise _foreign(name, run, queries, collection)
    return cut(run, queries, depth)


def cut(run: Run, queries: Sequence[str], depth: int | None) -> Run:
    """These queries of a run, each with its `depth` best documents."""
    return {query: list(run.get(query, ()))[:depth] for query in queries}


def _foreign(name: str, run: Run, queries: Sequence[str], collection: str) -> UsageError:
    return UsageError(
        f"{name}: the run has no documents for any of the {len(queries):,} judged queries of {collection} (its first "
        f"query is {next(iter(run), None)!r}, theirs {queries[0]!r}). Give a run for these queries, or --bm25."
    )


def _pool(collection: Collection, query: str) -> list[str]:
    return sorted(document for document in collection.qrels[query] if document in collection.corpus)


def _absent(collection: Collection) -> tuple[str, ...]:
    relevant = [d for q in collection.judged for d, grade in collection.qrels[q].items() if grade > 0]
    absent = sum(document not in collection.corpus for document in relevant)
    if not absent:
        return ()
    return (f"{absent:,} of {len(relevant):,} relevant documents are not in the corpus and cannot be found.",)


def _mixed(collection: Collection, query: str, pool: Sequence[str]) -> bool:
    grades = [collection.qrels[query][document] > 0 for document in pool]
    return any(grades) and not all(grades)
