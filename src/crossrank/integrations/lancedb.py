"""LanceDB: a reranker of hybrid, vector, full-text and multi-vector results. Arrow in, Arrow out: no list of rows."""

from collections.abc import Sequence
from typing import Any

from crossrank.compat.arguments import Ignored
from crossrank.errors import ArgumentTypeError, ColumnError, UsageError
from crossrank.integrations.asking import Asking, Place, missing
from crossrank.integrations.lancedb_queries import text_of
from crossrank.integrations.meaningless import LANCEDB

try:
    import pyarrow as pa
    from lancedb.rerankers import Reranker
except ImportError as exc:
    raise missing("lancedb", "lancedb", exc) from exc

SCORE = "_relevance_score"
SCORES_BEFORE = ("_distance", "_score")
ROW = "_rowid"


class CrossEncoderReranker(Reranker):  # type: ignore[misc, unused-ignore]
    """Results in order of relevance to the query, with their scores as a last column `_relevance_score` (float32).

    Rows whose text is null have a null score and come last. LanceDB reranks inside its event loop when a query is
    async: see `arerank` for a way around it.

    Args:
        model_name: what `crossrank.Reranker` takes; None for the bundled model.
        column: which column the model reads.
        device: see `crossrank.Reranker`.
        return_score: "relevance", or "all" to keep `_distance` and `_score` too.
        max_length: see `crossrank.Reranker`.
        ranker: any object with `rank` or `arank`, or `score(pairs)`, instead of a model.
        other: what the stock class takes and has no meaning here is warned about.
    """

    def __init__(
        self,
        model_name: str | None = None,
        column: str = "text",
        device: str | None = None,
        return_score: str = "relevance",
        *,
        max_length: int | None = None,
        ranker: Any = None,
        **other: Any,
    ) -> None:
        super().__init__(return_score)
        known = {"model_name", "column", "device", "return_score", "max_length", "ranker"}
        Ignored().tell("CrossEncoderReranker()", other, LANCEDB, known)
        self.model_name, self.column, self.device = model_name, column, device
        self._asking = Asking(model_name, ranker, device=device, max_length=max_length)

    def __str__(self) -> str:
        """As query plans show it; nothing is opened for it."""
        return f"CrossEncoderReranker(model_name={self._asking.name})"

    __repr__ = __str__

    def rerank_vector(self, query: Any, vector_results: pa.Table) -> pa.Table:
        """The rows of a vector search, best first."""
        return self._reranked(query, vector_results)

    def rerank_fts(self, query: Any, fts_results: pa.Table) -> pa.Table:
        """The rows of a full-text search, best first."""
        return self._reranked(query, fts_results)

    def rerank_hybrid(self, query: Any, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both, each once, best first. LanceDB puts the original `_distance` and `_score` back itself."""
        return self._reranked(query, self.merge_results(vector_results, fts_results))

    def rerank_multivector(self, vector_results: Any, query: Any, deduplicate: bool = False) -> pa.Table:  # noqa: FBT001, FBT002 - LanceDB's signature
        """The rows of several searches (tables, or queries that are run now), best first."""
        given = vector_results if isinstance(vector_results, list) else [vector_results]
        if not given or len({type(result) for result in given}) > 1:
            raise UsageError("vector_results must be a list of pa.Table, or one of queries; at least one of them")
        tables = [result if isinstance(result, pa.Table) else result.to_arrow() for result in given]
        table = pa.concat_tables(tables, promote_options="default")
        if deduplicate and ROW not in table.column_names:
            raise UsageError("deduplicate=True needs the column _rowid; search with .with_row_id(True)")
        return self._reranked(query, self._deduplicate(table) if deduplicate else table)

    async def arerank(self, query: str, *results: pa.Table) -> pa.Table:
        """As the others, but the event loop goes on: for what async queries gave without `.rerank()`.

        Args:
            query: what was asked.
            results: one table, or several of which each row is taken once; those need the column `_rowid`.
        """
        table = (
            results[0] if len(results) == 1 else self._deduplicate(pa.concat_tables(results, promote_options="default"))
        )
        rows, texts = self._texts(table)
        return self._with(table, rows, await self._asking.aplaces(text_of(query), texts))

    def _reranked(self, query: Any, table: pa.Table) -> pa.Table:
        rows, texts = self._texts(table)
        return self._with(table, rows, self._asking.places(text_of(query), texts))

    def _texts(self, table: pa.Table) -> tuple[list[int], list[str]]:
        """Which rows have a text, and the texts."""
        if self.column not in table.column_names:
            raise ColumnError(
                f"There is no column {self.column!r} in the results; they have: {', '.join(table.column_names)}. "
                "Name it in .select([...]), or give CrossEncoderReranker(column=...)."
            )
        values = table[self.column].to_pylist()
        rows = [row for row, value in enumerate(values) if value is not None]
        if not all(isinstance(values[row], str) for row in rows):
            raise ArgumentTypeError(
                f"The column {self.column!r} is {table.schema.field(self.column).type}, not text. "
                "Name a column of strings: CrossEncoderReranker(column=...)."
            )
        return rows, [values[row] for row in rows]

    def _with(self, table: pa.Table, rows: Sequence[int], places: Sequence[Place]) -> pa.Table:
        order = [rows[place.at] for place in places]
        unread = sorted(set(range(len(table))) - set(order))
        scores = pa.array([*(place.given for place in places), *(None for _ in unread)], pa.float32())
        dropped = [SCORE, *(SCORES_BEFORE if self.score == "relevance" else ())]
        kept = table.drop_columns([name for name in dropped if name in table.column_names])
        return kept.take(pa.array([*order, *unread], pa.int64())).append_column(SCORE, scores)
