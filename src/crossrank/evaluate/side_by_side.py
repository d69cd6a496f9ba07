"""Two rankers on the same queries and documents: how far they agree, where they differ most, what each takes.

Labels are not needed; where there are some, quality is compared as `evaluate` does. It knows any Ranker by its
protocol; not models, terminals or files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrank.collection import Collection
from crossrank.errors import UsageError
from crossrank.evaluate.candidates import Candidates
from crossrank.evaluate.compare import Comparison, compare, holm
from crossrank.evaluate.measure import Measure, parse_measures, per_query
from crossrank.evaluate.precision import kendall_tau
from crossrank.evaluate.ranking import QueryRanked, Task, rank_all, speed_of
from crossrank.evaluate.result import Ranked, Speed
from crossrank.evaluate.resume import Nowhere
from crossrank.types import Ranker


@dataclass(frozen=True, slots=True)
class Difference:
    """One query, ranked by both.

    Attributes:
        query: its id.
        tau: Kendall's tau of the two orders: 1 the same, -1 one the reverse of the other.
        overlap: share of the first k documents that both have there.
        firsts: ids of the documents that each puts first.
        mover: id of the document that is among the first k of one, and farthest from that rank in the other.
        ranks: the mover's, from 1, by each.
    """

    query: str
    tau: float
    overlap: float
    firsts: tuple[str, str]
    mover: str
    ranks: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Quality:
    """One measure over the judged queries.

    Attributes:
        measure: its name.
        means: of each ranker.
        comparison: from the first ranker to the second.
    """

    measure: str
    means: tuple[float, float]
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What came out.

    Attributes:
        names: of the two.
        top_k: what the overlap is of.
        differences: each query, those whose order differs most first.
        speeds: of each.
        qualities: a measure each; empty without labels.
        judged: queries with labels.
        notes: what a reader should know.
    """

    names: tuple[str, str]
    top_k: int
    differences: tuple[Difference, ...]
    speeds: tuple[Speed, Speed]
    qualities: tuple[Quality, ...]
    judged: int
    notes: tuple[str, ...]

    @property
    def tau(self) -> float:
        """The mean over queries."""
        return float(np.mean([one.tau for one in self.differences]))

    @property
    def overlap(self) -> float:
        """The mean over queries."""
        return float(np.mean([one.overlap for one in self.differences]))

    @property
    def same_first(self) -> float:
        """The share of queries with the same first document."""
        return float(np.mean([one.firsts[0] == one.firsts[1] for one in self.differences]))


def side_by_side(
    rankers: Mapping[str, Ranker],
    collection: Collection,
    candidates: Mapping[str, Sequence[str]],
    *,
    top_k: int = 10,
    measures: Sequence[str] = ("nDCG@10",),
    warm: Sequence[str] = (),
    on_query: Callable[[QueryRanked], None] = lambda _: None,
) -> SideBySide:
    """Both rank every query, in turns, and each goes first as often as the other.

    Args:
        rankers: two, by name.
        collection: texts, and perhaps judgements.
        candidates: ids of each query's documents; queries with fewer than two are left out.
        top_k: the first documents that an application would use.
        measures: where there are judgements.
        warm: names of rankers that rank the first query once more, untimed, before all: not those that are paid.
        on_query: told after each query of each ranker.

    Raises:
        UsageError: nothing to compare, or a measure is unknown.
        MissingExtra: there are judgements, and ir-measures is not installed.
    """
    assert len(rankers) == 2, "bug: two are compared"
    ids = {query: list(found) for query, found in candidates.items() if len(found) > 1}
    if not ids:
        raise UsageError("No query has two documents or more, so there is no order to compare.")
    judged = [query for query in collection.judged if query in ids]
    parsed = parse_measures(measures) if judged else ()  # before anything that takes time or is paid
    queries = list(ids)
    for name in warm:
        rankers[name].rank(collection.queries[queries[0]], [collection.corpus[one] for one in ids[queries[0]]])
    run = {query: [(document, -float(place)) for place, document in enumerate(found)] for query, found in ids.items()}
    task = Task(collection, Candidates(run, ids, ()), queries, Nowhere(), on_query)
    one, other = (rank_all(task, name, ranker, name) for name, ranker in rankers.items())
    ranked: tuple[list[Ranked], list[Ranked]] = ([], [])
    for number in range(len(queries)):
        first, second = ((one, ranked[0]), (other, ranked[1]))[:: 1 if number % 2 == 0 else -1]
        for turn, done in (first, second):
            done.append(next(turn))
    differences = [_difference(a, b, top_k) for a, b in zip(*ranked, strict=True)]
    speeds = (speed_of(ranked[0]), speed_of(ranked[1]))
    assert speeds[0] is not None, "bug: no query was ranked"
    assert speeds[1] is not None, "bug: no query was ranked"
    first_name, second_name = rankers
    return SideBySide(
        (first_name, second_name),
        top_k,
        tuple(sorted(differences, key=lambda one: (one.overlap, one.tau))),
        (speeds[0], speeds[1]),
        _qualities(parsed, collection, ranked, judged),
        len(judged),
        _notes(candidates, queries, judged),
    )


def _qualities(
    measures: Sequence[Measure],
    collection: Collection,
    ranked: tuple[list[Ranked], list[Ranked]],
    judged: Sequence[str],
) -> tuple[Quality, ...]:
    if not judged:
        return ()
    found = [per_query(measures, collection.qrels, {one.query: one.run for one in side}, judged) for side in ranked]
    first, second = ([list(values[measure.name].values()) for measure in measures] for values in found)
    compared = [compare(b, a) for a, b in zip(first, second, strict=True)]
    corrected = holm([comparison.p for comparison in compared])
    return tuple(
        Quality(measure.name, (float(np.mean(a)), float(np.mean(b))), replace(comparison, p_corrected=p))
        for measure, a, b, comparison, p in zip(measures, first, second, compared, corrected, strict=True)
    )


def _difference(one: Ranked, other: Ranked, top_k: int) -> Difference:
    orders = [[document for document, _ in ranked.run] for ranked in (one, other)]
    places = [{document: place for place, document in enumerate(order)} for order in orders]
    k = min(top_k, len(orders[0]))
    tops = [set(order[:k]) for order in orders]
    above = np.array([-places[0][document] for document in orders[0]], np.float32)
    tau = kendall_tau(above, np.array([-places[1][document] for document in orders[0]], np.float32))
    mover = max(sorted(tops[0] | tops[1]), key=lambda document: abs(places[0][document] - places[1][document]))
    return Difference(
        one.query,
        tau,
        len(tops[0] & tops[1]) / k,
        (orders[0][0], orders[1][0]),
        mover,
        (places[0][mover] + 1, places[1][mover] + 1),
    )


def _notes(candidates: Mapping[str, Sequence[str]], queries: Sequence[str], judged: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if len(queries) < len(candidates):
        left = len(candidates) - len(queries)
        notes.append(f"{left:,} of {len(candidates):,} queries have fewer than two documents and are left out.")
    if judged and len(judged) < len(queries):
        notes.append(f"{len(judged):,} of {len(queries):,} queries are judged; quality is over those.")
    if len(queries) < 10:
        notes.append(f"{len(queries)} queries are few: expect other figures from others.")
    return tuple(notes)
