"""The three tables of a job, read as far as planning needs: their files, columns, and where candidates can be cut.

It knows files and columns; no texts, rankers or clusters.
"""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike

from crossrank.cluster.columns import check_columns, check_given, chosen, id_of
from crossrank.cluster.plan import Cuts, cut, hash_of
from crossrank.cluster.storage import SourceFile, listed
from crossrank.cluster.tables import ENDINGS, Broken, Row, columns_of, rows
from crossrank.cluster.texts import Source
from crossrank.errors import InputFileError

Place = str | PathLike[str]


def tables_of(
    queries: Place | Sequence[Place],
    candidates: Place | Sequence[Place],
    corpus: Place | Sequence[Place],
    given: Mapping[str, str],
) -> tuple[Source, Source, tuple[SourceFile, ...], tuple[str, str]]:
    """Queries, corpus, the files of candidates and their columns, checked as far as the first file of each tells."""
    check_given(given)
    found: dict[str, tuple[tuple[SourceFile, ...], dict[str, str]]] = {}
    for table, places in (("queries", queries), ("candidates", candidates), ("corpus", corpus)):
        files = listed(places, ENDINGS)
        roles = chosen(table, columns_of(files[0]), given, files[0].path)
        found[table] = files, roles
    (query_files, asked), (files, pairs), (corpus_files, documents) = found.values()
    return (
        Source("queries", query_files, tuple(asked.values())),
        Source("corpus", corpus_files, tuple(documents.values())),
        files,
        (pairs["query"], pairs["document"]),
    )


def cut_file(file: SourceFile, columns: tuple[str, str], unit: int) -> Cuts:
    """A file's candidates in units of at least `unit` rows, cut between queries."""
    return cut(((place, _query_of(row)) for place, row in _candidates(file, columns)), unit)


def places_of(file: SourceFile, columns: tuple[str, str], suspects: frozenset[int]) -> list[tuple[str, int]]:
    """Where in a file groups of rows begin whose query's hash is suspected to stand in two places."""
    found: list[tuple[str, int]] = []
    before = None
    for number, (_, row) in enumerate(_candidates(file, columns)):
        query = _query_of(row)
        if query is not None and query != before:
            before = query
            if hash_of(query) in suspects:
                found.append((query, number))
    return found


def check_together(names: Sequence[str], places: Sequence[Sequence[tuple[str, int]]]) -> None:
    """Raise if the rows of a query do not stand together: each part would be ranked as if it were all."""
    first: dict[str, str] = {}
    for name, found in zip(names, places, strict=True):
        for query, number in found:
            where = f"{name}, row {number}"
            if query in first:
                raise InputFileError(
                    f"the candidates of query {query!r} do not stand together: they begin at {first[query]}, and again "
                    f"at {where}. Sort the candidates by query."
                )
            first[query] = where


def _candidates(file: SourceFile, columns: tuple[str, str]) -> Iterator[Row]:
    """The rows of a file of candidates, whose columns are checked, as it may not be the first."""
    check_columns("candidates", columns_of(file), dict(zip(("query", "document"), columns, strict=True)), file.path)
    return rows(file, columns)


def _query_of(row: Sequence[object] | Broken) -> str | None:
    return None if isinstance(row, Broken) else id_of(row[0])
