"""The scorer in Spark: bit for bit the scores of one process, opened once by each worker, nulls as nulls."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crossrank import Reranker
from crossrank.cluster.spark import _packed, rank_candidates, score_udf
from crossrank.errors import ArgumentTypeError, ColumnError
from scaling import local_spark

pytestmark = pytest.mark.scale

QUERIES = ["who created python", "what do snakes eat", "gems"]
TEXTS = ["Ruby is by Matz.", "Guido van Rossum created Python.", "Snakes eat mice.", "A ruby is a gem.", ""]
ROWS = [(f"q{q}", query, text, d) for q, query in enumerate(QUERIES) for d, text in enumerate(TEXTS)]
SCHEMA = "id string, query string, document string, place int"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One session for all tests."""
    with local_spark(tmp_path_factory.mktemp("spark")) as session:
        yield session


def bits(scores: Any) -> list[bytes | None]:
    """Each score as its fp32 bits."""
    return [None if score is None else struct.pack("<f", score) for score in scores]


@pytest.mark.parametrize("raw", [False, True])
def test_scores_have_the_bits_of_one_process(spark: Any, checkpoint: Callable[..., Path], raw: bool) -> None:
    """In several partitions and batches, with nulls between them."""
    model = str(checkpoint("bert"))
    rows = [*ROWS, ("n", None, "x", 0), ("n", "x", None, 1), ("n", None, None, 2)]
    frame = spark.createDataFrame(rows, SCHEMA).repartition(5)
    score = score_udf(model, raw=raw)
    found = {
        (row.query, row.document): row.score for row in frame.withColumn("score", score("query", "document")).collect()
    }
    with Reranker(model, threads=2) as reranker:
        expected = reranker.score([(query, document) for _, query, document, _ in ROWS], raw=raw)
    assert bits(found[query, document] for _, query, document, _ in ROWS) == bits(expected)
    assert [found[pair] for pair in ((None, "x"), ("x", None), (None, None))] == [None, None, None]


def test_each_worker_opens_the_model_once(spark: Any, checkpoint: Callable[..., Path]) -> None:
    """However many tasks it does, with as many threads as Spark gives a task."""
    model = str(checkpoint("electra"))
    score, packed = score_udf(model), _packed(model, None)

    def known(_: Any) -> Iterator[tuple[int, int, int, int]]:
        from crossrank.cluster import spark as worker

        found = worker._opened.cache_info()
        yield os.getpid(), found.hits, found.misses, worker._opened(packed).facts.threads

    def asked() -> dict[int, tuple[int, int]]:
        seen = spark.sparkContext.parallelize(range(8), 8).mapPartitions(known).collect()
        assert {threads for *_, threads in seen} == {1}
        return {pid: (hits, misses) for pid, hits, misses, _ in seen}

    before = asked()
    for _ in range(2):
        spark.createDataFrame(ROWS, SCHEMA).repartition(8).select(score("query", "document")).collect()
    after = asked()
    assert len(after) <= 2
    assert sum(hits for hits, _ in after.values()) > sum(hits for hits, _ in before.values())
    assert {pid: misses for pid, (_, misses) in after.items()} == {pid: misses for pid, (_, misses) in before.items()}


def test_candidates_come_in_the_order_of_one_process(spark: Any, checkpoint: Callable[..., Path]) -> None:
    """Scores, ranks, ties by the column that is named; nulls last; all columns are kept."""
    model = str(checkpoint("bert"))
    rows = [
        *ROWS,
        *[(name, query, TEXTS[1], 9) for name, query, _, place in ROWS if place == 0],
        ("q0", QUERIES[0], None, 7),
    ]
    frame = spark.createDataFrame(rows, SCHEMA).repartition(4)
    ranked = rank_candidates(frame, by="id", order="place", model=model)
    assert ranked.columns == ["id", "query", "document", "place", "score", "rank"]
    found = ranked.collect()
    with Reranker(model, threads=1) as reranker:
        for number, query in enumerate(QUERIES):
            mine = sorted((row for row in found if row.id == f"q{number}" and row.rank), key=lambda row: row.rank)
            ranking = reranker.rank(query, [*TEXTS, TEXTS[1]])
            assert [row.place for row in mine] == [{5: 9}.get(index, index) for index in ranking.indices]
            assert bits(row.score for row in mine) == bits(ranking.scores)
    assert [(row.place, row.score) for row in found if row.rank is None] == [(7, None)]
    best = rank_candidates(frame, by="id", order="place", top_k=2, model=model).collect()
    assert sorted((row.id, row.rank) for row in best) == [(f"q{n}", rank) for n in range(3) for rank in (1, 2)]


def test_mistakes_are_told_on_the_driver(spark: Any) -> None:
    """Before any worker is started."""
    frame = spark.createDataFrame(ROWS, SCHEMA)
    with pytest.raises(ArgumentTypeError, match="'maxlength'"):
        score_udf(options={"maxlength": 5})
    with pytest.raises(ColumnError, match="no column 'text'; there are id, query, document, place"):
        rank_candidates(frame, document="text")
    with pytest.raises(ColumnError, match="a column 'score' already"):
        rank_candidates(frame.withColumnRenamed("place", "score"))


def test_a_query_with_two_texts_is_named(spark: Any, checkpoint: Callable[..., Path]) -> None:
    """By its group."""
    frame = spark.createDataFrame([("q0", "a", "x", 0), ("q0", "b", "y", 1)], SCHEMA)
    with pytest.raises(Exception, match="the query 'q0' has 2 texts"):
        rank_candidates(frame, by="id", model=str(checkpoint("bert"))).collect()
