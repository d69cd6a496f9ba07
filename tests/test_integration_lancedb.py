"""LanceDB: every kind of query, sync and async, both kinds of scores; what its own suite asserts of rerankers."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import FTS
from lancedb.query import BooleanQuery, BoostQuery, MatchQuery, Occur, PhraseQuery
from lancedb.rerankers import Reranker

from asked import BEST, NAN, QUERY, TEXTS, Given, Lengths
from crossrank.errors import ArgumentTypeError, ColumnError
from crossrank.integrations.lancedb import CrossEncoderReranker
from warned import warns

DIMENSIONS = 4
VECTOR = [0.1, 0.2, 0.3, 0.4]


def rows(texts: list[str | None]) -> pa.Table:
    vectors = np.random.default_rng(0).normal(size=(len(texts), DIMENSIONS)).astype(np.float32)
    return pa.table(
        {
            "n": pa.array(range(len(texts)), pa.int32()),
            "text": pa.array(texts, pa.large_string()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of eight texts, two of them about Python's author, with a full-text index."""
    folder = tmp_path_factory.mktemp("lance")
    table = lancedb.connect(folder).create_table("docs", rows([*TEXTS, *(f"{text} Again." for text in TEXTS)]))
    table.create_index("text", config=FTS(with_position=True))
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> Any:
    return lancedb.connect(folder).open_table("docs")


async def awaited(folder: Path, build: Callable[[Any], Any]) -> pa.Table:
    table = await (await lancedb.connect_async(folder)).open_table("docs")
    return await build(table).to_arrow()


def searches(kind: str, reranker: Reranker) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How a table is searched, sync and async."""
    if kind == "vector":
        return (
            lambda t: t.search(VECTOR).limit(6).rerank(reranker, query_string=QUERY),
            lambda t: t.query().nearest_to(VECTOR).limit(6).rerank(reranker, query_string=QUERY),
        )
    if kind == "fts":
        return (
            lambda t: t.search(QUERY, query_type="fts").limit(6).rerank(reranker),
            lambda t: t.query().nearest_to_text(QUERY).limit(6).rerank(reranker),
        )
    return (
        lambda t: t.search(query_type="hybrid").vector(VECTOR).text(QUERY).limit(6).rerank(reranker),
        lambda t: t.query().nearest_to(VECTOR).nearest_to_text(QUERY).limit(6).rerank(reranker),
    )


@pytest.mark.parametrize("return_score", ["relevance", "all"])
@pytest.mark.parametrize("kind", ["vector", "fts", "hybrid"])
def test_every_kind_of_query(kind: str, return_score: str, table: Any, folder: Path) -> None:
    """Best first, scores as a last float32 column, the table's columns and types kept, sync as async."""
    reranker = CrossEncoderReranker(return_score=return_score)
    search, asearch = searches(kind, reranker)
    for found in (search(table).to_arrow(), asyncio.run(awaited(folder, asearch))):
        expected = ["n", "text", "vector"]
        if return_score == "all":
            expected += {"vector": ["_distance"], "fts": ["_score"], "hybrid": ["_distance", "_score"]}[kind]
        names = [name for name in found.column_names if name != "_rowid"]
        assert set(names) == {*expected, "_relevance_score"}
        assert names[:3] == expected[:3]
        assert names[-1] == "_relevance_score" or kind == "hybrid"
        schema = table.schema
        assert [found.schema.field(name).type for name in names[:3]] == [schema.field(name).type for name in names[:3]]
        assert found.schema.field("_relevance_score").type == pa.float32()
        scores = found["_relevance_score"].to_pylist()
        assert scores == sorted(scores, reverse=True)
        assert found["text"][0].as_py().startswith(BEST)
        if kind == "hybrid" and return_score == "all":
            both = [row for row in found.to_pylist() if None not in (row["_distance"], row["_score"])]
            plain = {row["n"]: row["_distance"] for row in table.search(VECTOR).limit(6).to_list()}
            assert both
            assert all(row["_distance"] == pytest.approx(plain[row["n"]]) for row in both)


def test_the_words_of_full_text_queries(table: Any) -> None:
    """Queries that are objects are read for their wanted words."""
    ranker = Lengths()
    queries = [
        (MatchQuery("python", "text"), "python"),
        (PhraseQuery("guido van", "text"), "guido van"),
        (BoostQuery(MatchQuery("python", "text"), MatchQuery("snakes", "text")), "python"),
        (
            BooleanQuery([(Occur.MUST, MatchQuery("python", "text")), (Occur.MUST_NOT, MatchQuery("snakes", "text"))]),
            "python",
        ),
    ]
    for query, expected in queries:
        reranker = CrossEncoderReranker(ranker=ranker)
        table.search(query, query_type="fts").limit(5).rerank(reranker).to_arrow()
        assert {asked for asked, _ in ranker.asked[-1]} == {expected}
    with pytest.raises(ArgumentTypeError, match="query is int; give its text"):
        CrossEncoderReranker(ranker=ranker).rerank_vector(3, rows(["a"]))


def test_nothing_found(table: Any, folder: Path) -> None:
    """Zero rows get an empty column of scores, and open no model."""
    reranker = CrossEncoderReranker("./no-such-folder")
    found = table.search("zzzz", query_type="fts").rerank(reranker).to_arrow()
    assert len(found) == 0
    assert found.schema.field("_relevance_score").type == pa.float32()
    asked = asyncio.run(awaited(folder, lambda t: t.query().nearest_to_text("zzzz").rerank(reranker)))
    assert asked.column_names[-1] == "_relevance_score"
    empty = table.search(query_type="hybrid").vector(VECTOR).text("zzzz").limit(3).rerank(CrossEncoderReranker())
    assert len(empty.to_arrow()) == 3  # one side is empty
    both = table.search(query_type="hybrid").vector(VECTOR).text("zzzz").where("n > 99", prefilter=True)
    assert len(both.rerank(reranker).to_arrow()) == 0


def test_multivector(table: Any) -> None:
    """Tables or queries; each row once when asked for."""
    reranker = CrossEncoderReranker()
    queries = [table.search(VECTOR).with_row_id(True).limit(8), table.search([0.0] * 4).with_row_id(True).limit(8)]
    tables = [query.to_arrow() for query in queries]
    for given in (queries, tables):
        assert len(reranker.rerank_multivector(given, QUERY)) == 16
        once = reranker.rerank_multivector(given, QUERY, deduplicate=True)
        assert len(once) == 8
        assert once["text"][0].as_py().startswith(BEST)
    assert len(reranker.rerank_multivector(tables[0], QUERY)) == 8
    with pytest.raises(ValueError, match="at least one"):
        reranker.rerank_multivector([], QUERY)
    with pytest.raises(ValueError, match=r"list of pa\.Table"):
        reranker.rerank_multivector([queries[0], tables[0]], QUERY)
    with pytest.raises(ValueError, match="needs the column _rowid"):
        reranker.rerank_multivector([tables[0].drop_columns(["_rowid"])], QUERY, deduplicate=True)


def test_off_the_loop(folder: Path) -> None:
    """`arerank` takes what async queries gave, merges them by row, and leaves the loop free."""

    async def main() -> tuple[pa.Table, pa.Table]:
        table = await (await lancedb.connect_async(folder)).open_table("docs")
        vector = table.query().nearest_to(VECTOR).with_row_id().limit(6).to_arrow()
        text = table.query().nearest_to_text("python").with_row_id().limit(6).to_arrow()
        found = await asyncio.gather(vector, text)
        reranker = CrossEncoderReranker(return_score="all")
        return await reranker.arerank(QUERY, *found), await reranker.arerank(QUERY, found[0])

    merged, one = asyncio.run(main())
    assert len(set(merged["_rowid"].to_pylist())) == len(merged) > len(one) == 6
    assert merged["text"][0].as_py().startswith(BEST)


def test_columns() -> None:
    """Any column of texts; a missing one is a KeyError, one of numbers a TypeError, both with the remedy."""
    given = pa.table({"body": pa.array(TEXTS).dictionary_encode(), "n": [0, 1, 2, 3], "_distance": [0.0] * 4})
    found = CrossEncoderReranker(column="body").rerank_vector(QUERY, given)
    assert found.column_names == ["body", "n", "_relevance_score"]
    assert found["n"][0].as_py() == 1
    assert found.schema.field("body").type == given.schema.field("body").type
    for kind in (KeyError, ColumnError):
        with pytest.raises(kind, match=r"no column 'text' in the results; they have: body, n, _distance"):
            CrossEncoderReranker().rerank_fts(QUERY, given)
    with pytest.raises(TypeError, match=r"The column 'n' is int64, not text. Name a column of strings"):
        CrossEncoderReranker(column="n").rerank_fts(QUERY, given)


def test_nulls_and_nan_come_last() -> None:
    """A null text has a null score; NaN of a foreign ranker comes before it; a reranked table can be reranked."""
    given = rows(["short", None, "the longest of all", "longer"])
    reranker = CrossEncoderReranker(ranker=Lengths())
    found = reranker.rerank_vector(QUERY, given)
    assert found["n"].to_pylist() == [2, 3, 0, 1]
    assert found["_relevance_score"].to_pylist() == [18.0, 6.0, 5.0, None]
    assert reranker.rerank_vector(QUERY, found).equals(found)
    nan = CrossEncoderReranker(ranker=Given(NAN, 1.0, 2.0)).rerank_vector(QUERY, given)
    assert nan["n"].to_pylist() == [3, 2, 0, 1]
    assert reranker.rerank_vector(QUERY, rows([None]))["_relevance_score"].to_pylist() == [None]
    assert len(CrossEncoderReranker().rerank_vector("", given)) == 4


def test_nothing_is_opened_by_looking() -> None:
    """Not by construction, str, copies or pickles; arguments without meaning are told of, unknown ones fail."""
    with warns("trust_remote_code= has no effect") as told:
        reranker = CrossEncoderReranker("./no-such-folder", trust_remote_code=True)
    assert len(told) == 1
    assert str(reranker) == "CrossEncoderReranker(model_name=./no-such-folder)"
    for copied in (pickle.loads(pickle.dumps(reranker)), copy.deepcopy(reranker)):
        assert str(copied) == repr(reranker)
    with pytest.raises(ValueError, match="score must be"):
        CrossEncoderReranker(return_score="some")
    with pytest.raises(TypeError, match=r"unexpected argument 'colum'.*'column'"):
        CrossEncoderReranker(colum="text")
