"""A little collection whose texts say their own grades, and what ranks by them: for tests of evaluations."""

from collections.abc import Sequence

from crossrank.collection import Collection, Run
from crossrank.evaluate.candidates import from_run
from crossrank.evaluate.evaluate import evaluate
from crossrank.evaluate.result import Evaluation
from crossrank.types import Hit, Ranking

QUERIES = 30


class Fake:
    """Scores "... grade 2" by its grade, times a factor; counts its calls; may fail at a query."""

    def __init__(self, factor: float = 1.0, *, stop_at: str | None = None, error: BaseException | None = None) -> None:
        self.factor, self.stop_at, self.error = factor, stop_at, error
        self.asked: list[str] = []

    def __repr__(self) -> str:
        return f"Fake({self.factor})"

    def rank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
        if query == self.stop_at and self.error is not None:
            raise self.error
        self.asked.append(query)
        scores = [self.factor * float(text.rpartition(" ")[2]) for text in documents]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        hits = (Hit(rank, i, scores[i], None, documents[i], documents[i]) for rank, i in enumerate(order, 1))
        return Ranking(tuple(hits), query, usage={"tokens": 7})


def pets_collection() -> Collection:
    """Queries with ten documents each, graded 0 to 2; the texts end with the grade."""
    queries = {f"q{i}": f"question {i}" for i in range(QUERIES)}
    corpus = {f"q{i}d{d}": f"question {i} text {d} grade {(d * 7 + i) % 3}" for i in range(QUERIES) for d in range(10)}
    qrels = {query: {f"{query}d{d}": (d * 7 + int(query[1:])) % 3 for d in range(10)} for query in queries}
    return Collection("pets", queries, corpus, qrels)


def in_their_own_order(pets: Collection) -> Run:
    """All documents of each query."""
    return {query: [(f"{query}d{d}", 10.0 - d) for d in range(10)] for query in pets.queries}


def evaluated(pets: Collection, run: Run) -> Evaluation:
    """A perfect ranker, its opposite, and one that changes nothing, beside a run."""
    rankers = {"good": Fake(), "bad": Fake(-1.0), "idle/one": Fake(0.0)}
    mixed = {query: found[::-1] for query, found in list(run.items())[:20]}
    other = {query: [(document, float(i)) for i, (document, _) in enumerate(found)] for query, found in mixed.items()}
    return evaluate(rankers, pets, first_stage=from_run(run, name="search"), runs={"other": other})
