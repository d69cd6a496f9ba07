"""The same scorer in Spark: a pandas UDF for a column of scores, and the candidates of each query in order.

Spark shares out rows and starts Python workers; each worker opens the model once. It knows columns and rows; not how
they are read, written or shared out.
"""

import inspect
import pickle
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from crossrank.errors import ArgumentTypeError, ColumnError, DocumentError, MissingExtra
from crossrank.reranker import Reranker

if TYPE_CHECKING:
    from pandas import DataFrame as Table
    from pandas import Series
    from pyspark.sql import DataFrame


def score_udf(
    model: str | None = None, *, raw: bool = False, options: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """A pandas UDF of two columns of strings, query and document, to a float: the score that `Reranker.score` gives.

    A null of either gives a null. The numbers are bit for bit those of one process, in however many partitions.

    Args:
        model: as of `Reranker`; what is a folder must be one on all machines.
        raw: logits instead of scores.
        options: further arguments of `Reranker`. `threads` is by default the cores that Spark gives a task.

    Raises:
        MissingExtra: PySpark or pandas is not installed.
        ArgumentTypeError: an option that Reranker does not have.
    """
    pd, functions = _installed()
    packed = _packed(model, options)

    def score(batches: Iterator[tuple["Series", "Series"]]) -> Iterator["Series"]:
        for queries, documents in batches:
            there = ~(queries.isna() | documents.isna())
            pairs = list(zip(queries[there], documents[there], strict=True))
            scores = pd.Series(None, queries.index, "Float32")
            if pairs:
                scores[there] = _opened(packed).score(pairs, raw=raw)
            yield scores

    # Spark reads from the types which kind of UDF it is; pandas is known only here.
    column: Any = pd.Series
    score.__annotations__ = {"batches": Iterator[tuple[column, column]], "return": Iterator[column]}
    return functions.pandas_udf(score, "float")  # type: ignore[no-any-return]


def rank_candidates(
    candidates: "DataFrame",
    *,
    query: str = "query",
    document: str = "document",
    by: str | None = None,
    order: str | None = None,
    top_k: int | None = None,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> "DataFrame":
    """The candidates with two more columns, `score` (float) and `rank` (int, from 1), by query as `Reranker.rank` does.

    A candidate whose document or query is null comes last, with null as score and rank; `top_k` leaves it out.

    Args:
        candidates: a row for each query and document; all columns are kept.
        query: the column of the query's text.
        document: the column of the document's text.
        by: the column that tells queries apart; by default their text.
        order: the column by which equal scores are ordered, lowest first, such as the rank of a first stage; without it
            their order is Spark's, which has none.
        top_k: of each query only so many.
        model: as of `score_udf`.
        options: as of `score_udf`.

    Raises:
        ColumnError: there is no such column, or there is one already that would be added.
        MissingExtra: PySpark or pandas is not installed.
        ArgumentTypeError: an option that Reranker does not have.
    """
    pd, functions = _installed()
    packed = _packed(model, options)
    group = by or query
    _check_columns(candidates.columns, [query, document, group, *([order] if order else [])])
    schema = ", ".join(
        [*(f"`{f.name}` {f.dataType.simpleString()}" for f in candidates.schema), "score float, rank int"]
    )

    def rank(rows: "Table") -> "Table":
        rows = rows.sort_values(order, kind="stable", ignore_index=True) if order else rows.reset_index(drop=True)
        there = rows.index[~(rows[query].isna() | rows[document].isna())]
        scores = pd.Series(None, rows.index, "Float32")
        ranks = pd.Series(None, rows.index, "Int32")
        if len(there):
            text = _only(rows[query][there], rows[group].iloc[0])
            for hit in _opened(packed).rank(text, list(rows[document][there]), top_k=top_k):
                scores[there[hit.index]], ranks[there[hit.index]] = hit.score, hit.rank
        ranked = rows.assign(score=scores, rank=ranks).sort_values("rank", kind="stable")
        return ranked if top_k is None else ranked[ranked["rank"].notna()]

    return candidates.groupBy(functions.col(group)).applyInPandas(rank, schema)


@cache
def _opened(packed: bytes) -> Reranker:
    """The model of this process: Spark uses a Python worker for many tasks, each of which brings the function anew."""
    from pyspark import TaskContext

    model, options = pickle.loads(packed)  # noqa: S301 - made by the driver, as the function is that it comes with
    context = TaskContext.get()
    threads = {"threads": context.cpus()} if context is not None else {}
    return Reranker(model, **{**threads, **options})


def _packed(model: str | None, options: Mapping[str, Any] | None) -> bytes:
    """A model and its options as one value that tells them from others, checked where the mistake is made."""
    try:
        inspect.signature(Reranker.__init__).bind(None, model, **(options or {}))
    except TypeError as exc:
        raise ArgumentTypeError(f"options: {exc}; they are the arguments of Reranker") from None
    return pickle.dumps((model, dict(sorted((options or {}).items()))))


def _only(queries: "Series", group: Hashable) -> str:
    texts = list(queries.unique())
    if len(texts) > 1:
        raise DocumentError(f"the query {group!r} has {len(texts)} texts; of one, all rows must have the same")
    return str(texts[0])


def _check_columns(there: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ColumnError(f"there is no column {missing[0]!r}; there are {', '.join(there)}")
    if taken := {"score", "rank"} & set(there):
        raise ColumnError(f"there is a column {min(taken)!r} already; rename or drop it first")


def _installed() -> tuple[Any, Any]:
    """pandas, and PySpark's functions."""
    try:
        import pandas as pd
        import pyarrow as pa  # noqa: F401 - what Spark's workers and pandas speak
        from pyspark.sql import functions
    except ImportError as exc:
        raise MissingExtra(f"{exc.name} is not installed. Run: pip install 'crossrank[spark]'") from exc
    return pd, functions
