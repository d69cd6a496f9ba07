"""All queries through one ranker: called, timed, checked, kept.

It knows the Ranker protocol; not measures or models.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossrank.collection import Collection
from crossrank.collection.runs import decreasing
from crossrank.errors import UsageError
from crossrank.evaluate.candidates import Candidates
from crossrank.evaluate.result import Ranked, Speed
from crossrank.evaluate.resume import Kept
from crossrank.remote.costs import cost_usd
from crossrank.types import Ranker, Ranking


@dataclass(frozen=True, slots=True)
class QueryRanked:
    """A query was ranked, or its ranking was kept from an earlier run.

    Attributes:
        ranker: its name.
        query: its id.
        total: queries of this ranker.
        documents: how many were ranked.
        kept: whether it is from an earlier run.
    """

    ranker: str
    query: str
    total: int
    documents: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What every ranker is given.

    Attributes:
        collection: texts of queries and documents.
        candidates: of each query.
        queries: ids of those to rank.
        kept: where finished queries are kept.
        on_query: told after each query.
    """

    collection: Collection
    candidates: Candidates
    queries: Sequence[str]
    kept: Kept
    on_query: Callable[[QueryRanked], None]


def rank_all(task: Task, name: str, ranker: Ranker, identity: str) -> Iterator[Ranked]:
    """Each query of the task, in order; those that are kept under this name and identity are not ranked again."""
    known = task.kept.known(name, identity)
    for query in task.queries:
        ranked = known.get(query)
        if ranked is None:
            ranked = _rank(task, name, ranker, query)
            task.kept.add(name, ranked)
        task.on_query(QueryRanked(name, query, len(task.queries), ranked.documents, query in known))
        yield ranked


def speed_of(ranked: Sequence[Ranked]) -> Speed | None:
    """What the ranker took; None if no query had candidates."""
    called = [one for one in ranked if one.documents]
    if not called:
        return None
    p50, p95 = np.quantile([one.seconds for one in called], [0.5, 0.95]) * 1000
    documents = sum(one.documents for one in called)
    tokens = [one.tokens for one in called if one.tokens is not None]
    costs = [one.cost_usd for one in called if one.cost_usd is not None]
    return Speed(
        float(p50),
        float(p95),
        1000 * sum(one.seconds for one in called) / documents,
        documents / len(called),
        sum(tokens) / len(called) if len(tokens) == len(called) else None,
        math.fsum(costs) if len(costs) == len(called) else None,
    )


def _rank(task: Task, name: str, ranker: Ranker, query: str) -> Ranked:
    ids = task.candidates.ids[query]
    if not ids:
        return Ranked(query, [], 0.0, 0, None)
    texts = [task.collection.corpus[document] for document in ids]
    started = time.perf_counter()
    try:
        ranking = ranker.rank(task.collection.queries[query], texts)
    except UsageError as exc:
        raise UsageError(f"{name}, query {query!r} of {task.collection.name}: {exc}") from exc
    seconds = time.perf_counter() - started
    unread = [document for document, _ in task.candidates.run[query] if document not in task.collection.corpus]
    ranked = [ids[place] for place in _places(ranking, len(ids), name, query)]
    scores = [None if hit.score is None else hit.score if hit.logit is None else hit.logit for hit in ranking]
    run = list(zip(ranked + unread, decreasing([*scores, *([None] * len(unread))], name, query), strict=True))
    return Ranked(query, run, seconds, len(ids), ranking.usage.get("tokens"), cost_usd(ranking.usage))


def _places(ranking: Ranking, count: int, name: str, query: str) -> list[int]:
    places = [hit.index for hit in ranking]
    if len(set(places)) < len(places) or not all(0 <= place < count for place in places):
        raise UsageError(
            f"{name}, query {query!r}: the ranking has an index twice or beyond the {count} documents it was given; "
            "a Hit's index is the document's position in the list."
        )
    return places
