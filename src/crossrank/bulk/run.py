"""A job through a ranker: each query's ranking as a block of the output, in order, batched across queries.

It knows rankers by what `Reranker` and `RemoteReranker` share, jobs and formats; not files or terminals.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from crossrank.arguments import ThresholdOn
from crossrank.bulk.job import Job
from crossrank.collection.runs import decreasing
from crossrank.errors import UsageError
from crossrank.rankers import ManyRanker
from crossrank.types import Hit, Ranking

SCHEMA_VERSION = 1  # of a line of JSON; raised when a field changes its meaning or goes

Format = Literal["jsonl", "trec"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of each ranking, and how it is written.

    Attributes:
        top_k: at most so many hits.
        threshold: only hits with at least this score, or probability.
        threshold_on: which of them.
        fields: of the corpus's objects, what the model reads; None for title and text.
        form: "jsonl", a line of JSON a query, or "trec", a line a hit.
    """

    top_k: int | None = None
    threshold: float | None = None
    threshold_on: ThresholdOn = "score"
    fields: tuple[str, ...] | None = None
    form: Format = "jsonl"

    def header(self) -> dict[str, Any]:
        """What the output depends on, besides the job and the ranker."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def blocks(job: Job, ranker: ManyRanker, wish: Wish, *, done: int, name: str) -> Iterator[bytes]:
    """The output, a block a query, from query number `done` (0 is the first) on; `name` is the ranker's, for TREC.

    Raises:
        UsageError: a query cannot be ranked as it stands; it is named, and those before it came.
        CrossrankError: ranking failed.
    """
    write: Callable[[str, Sequence[str], Ranking, str], str] = {"jsonl": _line, "trec": _lines}[wish.form]
    for query, ranking in _rankings(job, ranker, wish, list(job.texts)[done:]):
        yield write(query, job.candidates[query], ranking, name).encode("utf-8", "backslashreplace")


def _rankings(job: Job, ranker: ManyRanker, wish: Wish, queries: Sequence[str]) -> Iterator[tuple[str, Ranking]]:
    came = 0
    try:
        for query, ranking in zip(queries, _ranked(job, ranker, wish, queries), strict=True):
            yield query, ranking
            came += 1
    except UsageError:
        # One of those that went through the model together cannot be ranked: which one shows when each goes by itself.
        for query in queries[came:]:
            try:
                yield query, next(_ranked(job, ranker, wish, [query]))
            except UsageError as exc:
                raise UsageError(f"query {query!r}: {exc}") from exc


def _ranked(job: Job, ranker: ManyRanker, wish: Wish, queries: Sequence[str]) -> Iterator[Ranking]:
    # Only where it is asked for: a remote ranker has no probabilities.
    on: dict[str, Any] = {} if wish.threshold_on == "score" else {"threshold_on": wish.threshold_on}
    return ranker.rank_many(
        (job.texts[query] for query in queries),
        (job.documents(query, whole=wish.fields is not None) for query in queries),
        top_k=wish.top_k,
        threshold=wish.threshold,
        fields=wish.fields,
        show_progress_bar=False,
        **on,
    )


def _line(query: str, ids: Sequence[str], ranking: Ranking, name: str) -> str:  # noqa: ARG001 - as the other format
    """A document of JSON on a line; without times, so that it does not depend on what was ranked beside it."""
    entry = {
        "schema_version": SCHEMA_VERSION,
        "query_id": query,
        "query": ranking.query,
        "hits": [_hit(hit, ids[hit.index]) for hit in ranking],
        "usage": dict(ranking.usage),
    }
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"


def _hit(hit: Hit, document: str) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "id": document,
        "index": hit.index,
        "score": hit.score,
        "logit": hit.logit,
        **({} if hit.probability is None else {"probability": hit.probability}),
        "tokens": hit.tokens,
        "truncated": hit.truncated,
        "passage": hit.passage,
        "scored_by": hit.scored_by,
    }


def _lines(query: str, ids: Sequence[str], ranking: Ranking, name: str) -> str:
    """Lines of a TREC run; scores that fp32 could not tell apart are lowered until the order can be read from them."""
    scores = decreasing([_score(hit) for hit in ranking], name, query)
    tag = "".join(name.split()) or "crossrank"
    return "".join(
        f"{query} Q0 {ids[hit.index]} {hit.rank} {score!r} {tag}\n" for hit, score in zip(ranking, scores, strict=True)
    )


def _score(hit: Hit) -> float | None:
    """The logit, where there is one: scores saturate."""
    return hit.score if hit.logit is None else hit.logit
