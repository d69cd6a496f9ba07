"""Retrievers, their fusion, pipelines of `>>` and `%`, and what hits say of their way."""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lancedb.index import FTS

from asked import BEST, QUERY, TEXTS, Reversed
from crossrank import Cascade, Reranker, Stage
from crossrank.errors import ArgumentTypeError, ColumnError, UsageError
from crossrank.retrieve import Calling, Found, Fused, Pipeline, Retriever, reciprocal_ranks
from crossrank.retrieve.blend import blended
from crossrank.retrieve.contract import Passage
from crossrank.retrieve.lance import LanceVectors, lance_hybrid, stored_passage, vector_table


def everything(query: str, k: int) -> list[str]:
    """A search that finds the same for any query."""
    return TEXTS


def letters(texts: list[str]) -> Any:
    """A vector of each text: how often it has each of some letters."""
    counts = np.array([[text.lower().count(letter) for letter in "aeiopt"] for text in texts], np.float32)
    return counts / np.maximum(1e-6, np.linalg.norm(counts, axis=1, keepdims=True))


def test_written_with_operators(bundled: Reranker) -> None:
    """`retriever >> reranker % 10`: the best of what was retrieved, each with where it was and how far it moved."""
    search = Calling(everything)
    assert isinstance(search, Retriever)
    result = (search >> bundled % 2).search(QUERY)
    assert [hit.text for hit in result] == bundled.rank(QUERY, TEXTS, top_k=2).documents
    first = result[0]
    assert (first.rank, first.text, first.found_at, first.moved) == (1, BEST, 2, 1)
    assert dict(first.found.found_by) == {"search": 2}
    assert first.document is TEXTS[1]
    assert result.candidates == len(result.ranking) == 4
    assert len((search >> bundled).search(QUERY)) == 4
    assert asyncio.run((search >> bundled % 2).asearch(QUERY)).documents == result.documents
    assert result[:1] == result.hits[:1]


def test_several_rankers(bundled: Reranker) -> None:
    """Each on the best of the one before; `Cascade % 3` is a stage too."""
    result = (Calling(everything) >> Reversed() >> bundled % 3).search(QUERY)  # type: ignore[operator]
    assert len(result) == 3
    cheap = Calling(everything) >> Stage(Reversed(), 2)
    assert {hit.text for hit in (cheap >> bundled % 5).search(QUERY)} >= set(TEXTS[2:])
    cascade = Cascade([Stage(bundled)])
    assert (Calling(everything) >> cascade % 1).search(QUERY).documents == [BEST]


def test_awaitable_searches(bundled: Reranker) -> None:
    """Awaited where there is one, else asked in a thread."""

    async def asearch(query: str, k: int) -> Sequence[Any]:
        return [Found(text, 1.0) for text in everything(query, k)]

    pipeline = Calling(asearch=asearch, name="mine") >> bundled % 1
    assert asyncio.run(pipeline.asearch(QUERY))[0].found.found_by == {"mine": 2}
    with pytest.raises(UsageError, match="'mine' can only be awaited"):
        pipeline.search(QUERY)


def test_nothing_found(bundled: Reranker) -> None:
    """No candidates, no hits."""
    assert len((Calling(lambda query, k: []) >> bundled % 3).search(QUERY)) == 0


def test_fused_by_reciprocal_ranks(bundled: Reranker) -> None:
    """By the formula; a document that several find says so; equal texts are one."""
    one, two = [Found(text) for text in "abc"], [Found(text) for text in "cad"]
    fused = reciprocal_ranks({"one": one, "two": two})
    assert [item.document for item in fused] == ["a", "c", "b", "d"]
    assert fused[0].score == pytest.approx(1 / 61 + 1 / 62)
    assert dict(fused[1].found_by) == {"one": 3, "two": 1}
    retriever = Fused([Calling(everything, name="a"), Calling(lambda q, k: TEXTS[::-1], name="b")], weights={"b": 2})
    assert [item.document for item in retriever.retrieve(QUERY, 2)] == [TEXTS[3], TEXTS[2]]
    assert asyncio.run(retriever.aretrieve(QUERY, 2)) == retriever.retrieve(QUERY, 2)
    assert (retriever >> bundled % 1).search(QUERY)[0].found.found_by == {"a": 2, "b": 3}


def test_fused_retrievers_are_awaited_together() -> None:
    """None waits for another to end, and the failure of one is the failure."""

    async def main() -> list[Found]:
        both, waiting = asyncio.Barrier(2), 60.0

        async def meet(query: str, k: int) -> list[str]:
            await asyncio.wait_for(both.wait(), waiting)
            return TEXTS[:k]

        return await Fused([Calling(asearch=meet, name="a"), Calling(asearch=meet, name="b")]).aretrieve(QUERY, 2)

    async def broken(query: str, k: int) -> list[str]:
        raise UsageError("no connection")

    assert [dict(item.found_by) for item in asyncio.run(main())] == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    with pytest.raises(UsageError, match="no connection"):
        asyncio.run(Fused([Calling(everything), Calling(asearch=broken, name="b")]).aretrieve(QUERY, 2))


@pytest.mark.property
@given(st.lists(st.permutations("abcdef"), min_size=1, max_size=4))
def test_fusion_keeps_all_and_agreement(rankings: list[list[str]]) -> None:
    """All are there once; where all rank one document above another, so does the fused ranking."""
    fused = reciprocal_ranks({str(i): [Found(x) for x in ranking] for i, ranking in enumerate(rankings)})
    order = [item.document for item in fused]
    assert sorted(order) == list("abcdef")
    for x in "abcdef":
        for y in "abcdef":
            if all(ranking.index(x) < ranking.index(y) for ranking in rankings):
                assert order.index(x) < order.index(y)


def test_first_stage_scores_count(bundled: Reranker) -> None:
    """With first_share 1 the retriever's order stands, with 0 the ranker's; between them a mixture."""
    search = Calling(lambda q, k: [Found(text, 4.0 - i) for i, text in enumerate(TEXTS)])
    orders = {
        share: Pipeline(search, [Stage(bundled)], first_share=share).search(QUERY).documents
        for share in (0.0, 0.3, 1.0)
    }
    assert orders[0.0] == bundled.rank(QUERY, TEXTS).documents
    assert orders[1.0] == TEXTS
    assert orders[0.3][0] == BEST
    hit = Pipeline(search, [Stage(bundled, 1)], first_share=0.3).search(QUERY)[0]
    assert hit.fused == pytest.approx(0.3 * 2 / 3 + 0.7)
    assert blended([None, 2.0, 2.0], {0: 1.0, 1: math.nan, 2: None}, 0.5) == {0: 0.5, 1: 0.5, 2: 0.5}


def test_bad_input(bundled: Reranker) -> None:
    """What cannot retrieve, rank, or be asked for."""
    with pytest.raises(ArgumentTypeError, match=r"3 cannot retrieve; give an object with retrieve\(query, k\)"):
        Pipeline(3, [Stage(bundled)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ranker must have a method rank"):
        Calling(everything) >> 3  # type: ignore[operator]
    for options, message in (({"first_share": 2}, "first_share=2 is no share"), ({"candidates": 0}, "candidates=0")):
        with pytest.raises(UsageError, match=message):
            Pipeline(Calling(everything), [Stage(bundled)], **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="top_k=0 asks for no hits"):
        bundled % 0
    with pytest.raises(UsageError, match="query is empty"):
        (Calling(everything) >> bundled).search("")
    with pytest.raises(UsageError, match="different names; given: search, search"):
        Fused([Calling(everything), Calling(everything)])
    with pytest.raises(UsageError, match="weights names 'zzz'"):
        Fused([Calling(everything)], weights={"zzz": 1})
    with pytest.raises(UsageError, match="Calling wants a function"):
        Calling()
    with pytest.raises(UsageError, match="k=0 asks for no documents"):
        Fused([Calling(everything)]).retrieve(QUERY, 0)


def test_lancedb_hybrid(tmp_path: Path, bundled: Reranker) -> None:
    """Vectors and full text of one table; rows come back as dicts, each with who found it."""
    vectors = letters(TEXTS)
    rows = [{"n": i, "text": text, "vector": vectors[i]} for i, text in enumerate(TEXTS)]
    table = lancedb.connect(tmp_path).create_table("docs", rows)
    table.create_index("text", config=FTS())
    result = (lance_hybrid(table, letters) >> bundled % 3).search(QUERY)
    assert result[0].document == {"n": 1, "text": BEST}
    assert set(result[0].found.found_by) == {"vectors", "text"}
    with pytest.raises(ColumnError, match="no column 'body'; it has: n, text, vector"):
        lance_hybrid(table, letters, text="body")


def test_vectors_are_made_once(tmp_path: Path) -> None:
    """What is there is not embedded again, what is gone is not found; passages come back whole."""
    asked: list[int] = []

    def embed(texts: list[str]) -> Any:
        asked.append(len(texts))
        return letters(texts)

    passages = [Passage({"text": text, "id": i}, text, i + 1) for i, text in enumerate(TEXTS)]
    vector_table(tmp_path, "m", passages[:2], embed)
    vector_table(tmp_path, "m", passages, embed)
    table = vector_table(tmp_path, "m", passages[1:], embed, progress=asked.append)
    assert asked == [2, 2, 3]
    found = LanceVectors(table, letters, document=stored_passage).retrieve(TEXTS[0], 9)
    assert {item.document.line for item in found} == {2, 3, 4}
    assert passages[1] in [item.document for item in found]
