"""Retrievers over a LanceDB table: by vectors, by full text, by both; and the table of vectors of a corpus.

It knows LanceDB and embeddings; no ranker.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from crossrank.errors import ColumnError, MissingExtra
from crossrank.retrieve.build import Progress
from crossrank.retrieve.contract import Found, Passage
from crossrank.retrieve.fusion import Fused
from crossrank.retrieve.pipeline import Pipes
from crossrank.retrieve.segments import lines_of
from crossrank.types import Document

Embed = Callable[[list[str]], Any]  # texts to vectors float32 [texts, dimensions]
PORTION = 256  # passages that are embedded and stored at a time
INTERNAL = ("_distance", "_score", "_rowid")


class LanceVectors(Pipes):
    """Nearest vectors of a LanceDB table; documents are its rows as dicts, without the vector.

    Args:
        table: of LanceDB, sync.
        embed: from texts to vectors.
        vector: the column of vectors.
        document: from a row to a document; by default the row, a dict.
        name: what hits say they were found by.
    """

    def __init__(
        self,
        table: Any,
        embed: Embed,
        *,
        vector: str = "vector",
        document: Callable[[dict[str, Any]], Document] = dict,
        name: str = "vectors",
    ) -> None:
        self.name, self._table, self._embed, self._vector, self._of = name, table, embed, vector, document

    def retrieve(self, query: str, k: int) -> list[Found]:
        """The `k` nearest, by cosine; the score is the similarity."""
        search = self._table.search(self._embed([query])[0], vector_column_name=self._vector)
        rows = search.distance_type("cosine").limit(k).to_arrow().to_pylist()
        return [Found(self._of(_document(row, self._vector)), 1.0 - row["_distance"]) for row in rows]


class LanceText(Pipes):
    """Full-text search in a LanceDB table that has such an index.

    Args:
        table: of LanceDB, sync.
        vector: a column that documents go without.
        name: what hits say they were found by.
    """

    def __init__(self, table: Any, *, vector: str = "vector", name: str = "text") -> None:
        self.name, self._table, self._vector = name, table, vector

    def retrieve(self, query: str, k: int) -> list[Found]:
        """The best `k`, by BM25."""
        rows = self._table.search(query, query_type="fts").limit(k).to_arrow().to_pylist()
        return [Found(_document(row, self._vector), row["_score"]) for row in rows]


def lance_hybrid(table: Any, embed: Embed, *, text: str = "text", vector: str = "vector") -> Fused:
    """Vectors and full text of one table, fused by reciprocal ranks.

    Raises:
        ColumnError: the table lacks one of the columns.
    """
    if missing := {text, vector} - set(table.schema.names):
        raise ColumnError(f"The table has no column {min(missing)!r}; it has: {', '.join(table.schema.names)}")
    return Fused([LanceVectors(table, embed, vector=vector), LanceText(table, vector=vector)])


def embedder(model: str) -> Embed:
    """A sentence-transformers model's vectors, of length 1."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        raise MissingExtra(
            "sentence-transformers is not installed. Run: pip install 'crossrank[search,lancedb]' sentence-transformers"
        ) from exc
    encoder = SentenceTransformer(model)
    return lambda texts: encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def vector_table(
    folder: Path, name: str, passages: Iterable[Passage], embed: Embed, *, progress: Progress | None = None
) -> Any:
    """The LanceDB table of these passages' vectors: what it has already is not embedded again, what is gone goes.

    Args:
        folder: of the database.
        name: of the table; one for each model.
        passages: the corpus.
        embed: from texts to vectors.
        progress: called with the number of passages that are ready.
    """
    try:
        import lancedb
    except ImportError as exc:
        raise MissingExtra("lancedb is not installed. Run: pip install 'crossrank[search,lancedb]'") from exc
    database = lancedb.connect(folder)
    table = database.open_table(name) if name in database.list_tables().tables else None
    wanted = {_key(passage): passage for passage in passages}
    there = set() if table is None else _keys(table)
    if table is not None and (gone := sorted(there - set(wanted))):
        table.delete(f"key IN ({', '.join(map(repr, gone))})")
    if progress is not None:
        progress(len(wanted) - len(set(wanted) - there))
    fresh = iter([(key, passage) for key, passage in wanted.items() if key not in there])
    while portion := list(islice(fresh, PORTION)):
        rows = _rows(portion, embed)
        table = database.create_table(name, rows) if table is None else (table.add(rows), table)[1]
        if progress is not None:
            progress(len(portion))
    return table


def stored_passage(row: dict[str, Any]) -> Passage:
    """What stands in a row of `vector_table`."""
    return Passage(json.loads(row["document"]), row["text"], row["line"])


def _rows(portion: Sequence[tuple[str, Passage]], embed: Embed) -> list[dict[str, Any]]:
    vectors = embed([passage.text for _, passage in portion])
    return [
        {
            "key": key,
            "line": passage.line,
            "text": passage.text,
            "document": json.dumps(passage.document),
            "vector": vector,
        }
        for (key, passage), vector in zip(portion, vectors, strict=True)
    ]


def _key(passage: Passage) -> str:
    return blake2b(lines_of([passage])[0], digest_size=16).hexdigest()


def _keys(table: Any) -> set[str]:
    rows = table.search().select(["key"]).limit(table.count_rows()).to_arrow()
    return set(rows["key"].to_pylist())


def _document(row: dict[str, Any], vector: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != vector and name not in INTERNAL}
