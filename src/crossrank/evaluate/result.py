"""What an evaluation finds, as values. It knows numbers and names; not how they were computed or are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from crossrank.collection import Run
from crossrank.evaluate.compare import Comparison, Interval

SIGNIFICANT = 0.05  # corrected p-values below this are called significant

Kind = Literal["first stage", "run", "ranker"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query, ranked.

    Attributes:
        query: its id.
        run: (document id, score), best first; scores strictly decrease, also as fp32.
        seconds: what the call to the ranker took.
        documents: how many it was given.
        tokens: how many it read, where it tells.
        cost_usd: what a vendor takes for it, by estimate, where that is known.
    """

    query: str
    run: list[tuple[str, float]]
    seconds: float
    documents: int
    tokens: int | None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """What a ranker takes, one query after the other.

    Attributes:
        p50_ms: milliseconds for a query and all its candidates: the median.
        p95_ms: 95 % of the queries take at most so many.
        document_ms: milliseconds for one candidate, on average.
        documents: candidates of a query, on average.
        tokens: tokens of a query and its candidates, on average; None where the ranker does not tell.
        cost_usd: what a vendor takes for all queries, by estimate; None where that is not known, or nothing.
    """

    p50_ms: float
    p95_ms: float
    document_ms: float
    documents: float
    tokens: float | None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A measure's mean over the queries, with its interval, and how it compares to the first stage.

    Attributes:
        mean: over all judged queries.
        interval: of the mean.
        values: by query id.
        comparison: to the first stage; None for the first stage itself.
    """

    mean: float
    interval: Interval
    values: Mapping[str, float]
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: unique among the rows.
        kind: the first stage, a run that was given beside it, or a ranker.
        scores: by the measure's name.
        speed: of a ranker.
        run: what it ranked, best first.
    """

    name: str
    kind: Kind
    scores: Mapping[str, Score]
    speed: Speed | None
    run: Run


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out, for all rankers, runs and measures.

    Attributes:
        collection: its name.
        origin: where the candidates are from.
        depth: candidates of a query at most; None for all.
        queries: ids of those that were evaluated.
        measures: names; the first decides what the sentences say.
        rows: the first stage, then runs, then rankers.
        notes: what a reader should know.
    """

    collection: str
    origin: str
    depth: int | None
    queries: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def first_stage(self) -> Row:
        """The row that the others are compared to."""
        return self.rows[0]

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)
