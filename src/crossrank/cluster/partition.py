"""One partition through a ranker: rows are joined with their texts and ranked by query; what cannot be is told.

It knows rows, texts and rankings; not files, formats or clusters.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossrank.cluster.columns import id_of
from crossrank.cluster.tables import Broken
from crossrank.cluster.texts import NoText
from crossrank.errors import NotFiniteError, UsageError
from crossrank.rankers import ManyRanker
from crossrank.types import Hit, Ranking

WHY_MAX = 300  # characters
LookUp = Callable[[Sequence[str]], Mapping[str, str | NoText]]
USAGE = ("pairs", "tokens")

SCORES = {
    "query_id": "string",
    "document_id": "string",
    "rank": "int32",
    "score": "float32",
    "logit": "float32",
    "probability": "float64",
    "tokens": "int32",
    "truncated": "bool",
    "passage_start": "int32",
    "passage_end": "int32",
    "row": "int64",
}  # columns of the output, and their types
POISON = {"row": "int64", "query_id": "string", "document_id": "string", "reason": "string", "why": "string"}


@dataclass(frozen=True, slots=True)
class Wish:
    """Which hits of each query are wanted: at most `top_k`, with at least the score `threshold`."""

    top_k: int | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A row with its texts."""

    row: int
    query_id: str
    document_id: str
    query: str
    document: str


@dataclass(slots=True)
class Done:
    """What came of a partition.

    Attributes:
        scores: rows of the output, in the order of SCORES: queries as they came, the best document of each first.
        poison: rows that could not be ranked, in the order of POISON, as they came.
        usage: pairs and tokens that went through the model.
    """

    scores: list[tuple[Any, ...]] = field(default_factory=list)
    poison: list[tuple[Any, ...]] = field(default_factory=list)
    usage: Counter[str] = field(default_factory=Counter)

    def reasons(self) -> dict[str, int]:
        """Poison rows by reason."""
        return dict(sorted(Counter(row[3] for row in self.poison).items()))


def joined(
    rows: Sequence[Sequence[Any] | Broken], start: int, queries: LookUp, corpus: LookUp, done: Done
) -> list[Asked]:
    """The rows with their texts; those without go to `done.poison`.

    Args:
        rows: values of the query's and the document's id.
        start: number of the first row in its file.
        queries: gives texts of queries by their ids.
        corpus: gives texts of documents.
        done: of the partition.
    """
    ids = [(None, None) if isinstance(row, Broken) else (id_of(row[0]), id_of(row[1])) for row in rows]
    query_texts = queries([query for query, _ in ids if query is not None])
    document_texts = corpus([document for _, document in ids if document is not None])
    asked = []
    for number, (row, (query, document)) in enumerate(zip(rows, ids, strict=True), start):
        if isinstance(row, Broken):
            _poison(done, number, None, None, "broken_row", row.why)
        elif query is None or document is None:
            what = f"{row[0] if query is None else row[1]!r}"
            _poison(done, number, query, document, "no_id", f"{what} is no id")
        else:
            asked.append((number, query, document, query_texts.get(query), document_texts.get(document)))
    return [found for one in asked if (found := _with_texts(one, done))]


def ranked(asked: Sequence[Asked], ranker: ManyRanker, wish: Wish, done: Done) -> None:
    """Rank each query's rows; results and what the model refuses go to `done`.

    Raises:
        CrossrankError: the model fails for another reason than a row of these.
    """
    groups: dict[str, list[Asked]] = {}
    for one in asked:
        groups.setdefault(one.query_id, []).append(one)
    for group, ranking in _rankings(list(groups.values()), ranker, wish, done):
        done.usage.update({name: ranking.usage.get(name, 0) for name in USAGE})
        done.scores += [_score(hit, group[hit.index]) for hit in ranking]
    done.poison.sort(key=lambda row: row[0])


def _rankings(
    groups: Sequence[list[Asked]], ranker: ManyRanker, wish: Wish, done: Done
) -> Iterator[tuple[list[Asked], Ranking]]:
    """All at once; where that is refused, the rest query by query, and of a query that is, document by document."""
    came = 0
    try:
        for group, ranking in zip(groups, _ranked(groups, ranker, wish), strict=True):
            yield group, ranking
            came += 1
    except (UsageError, NotFiniteError) as exc:
        left = groups[came:]
        if len(left) > 1:
            for group in left:
                yield from _rankings([group], ranker, wish, done)
        elif len(left[0]) > 1:
            kept = [one for one in left[0] if _takes(one, ranker, done)]
            if len(kept) == len(left[0]):
                raise  # it is not for one of its documents
            if kept:
                yield from _rankings([kept], ranker, wish, done)
        else:
            _refused(left[0][0], exc, done)


def _takes(one: Asked, ranker: ManyRanker, done: Done) -> bool:
    try:
        list(_ranked([[one]], ranker, Wish()))
    except (UsageError, NotFiniteError) as exc:
        _refused(one, exc, done)
        return False
    return True


def _ranked(groups: Sequence[Sequence[Asked]], ranker: ManyRanker, wish: Wish) -> Iterator[Ranking]:
    return ranker.rank_many(
        (group[0].query for group in groups),
        ([one.document for one in group] for group in groups),
        top_k=wish.top_k,
        threshold=wish.threshold,
        show_progress_bar=False,
    )


def _with_texts(one: tuple[int, str, str, str | NoText | None, str | NoText | None], done: Done) -> Asked | None:
    number, query_id, document_id, query, document = one
    for text, name, missing in ((query, query_id, "unknown_query"), (document, document_id, "missing_document")):
        if isinstance(text, str):
            continue
        what = "query" if missing == "unknown_query" else "document"
        reason, why = (missing, "it is not there") if text is None else (text.reason, text.why)
        _poison(done, number, query_id, document_id, reason, f"{what} {name!r}: {why}")
        return None
    assert isinstance(query, str), "bug: a query without a text"
    assert isinstance(document, str), "bug: a document without a text"
    return Asked(number, query_id, document_id, query, document)


def _refused(one: Asked, exc: Exception, done: Done) -> None:
    reason = "not_finite" if isinstance(exc, NotFiniteError) else "refused"
    _poison(done, one.row, one.query_id, one.document_id, reason, str(exc))


def _poison(done: Done, row: int, query: str | None, document: str | None, reason: str, why: str) -> None:
    told = why[:WHY_MAX].encode("utf-8", "backslashreplace").decode()
    done.poison.append((row, query, document, reason, told))


def _score(hit: Hit, one: Asked) -> tuple[Any, ...]:
    start, end = hit.passage or (None, None)
    return (
        one.query_id,
        one.document_id,
        hit.rank,
        hit.score,
        hit.logit,
        hit.probability,
        hit.tokens,
        hit.truncated,
        start,
        end,
        one.row,
    )
