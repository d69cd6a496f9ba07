"""LangChain: the compressor, the cross-encoder and the retriever, with langchain-core and with langchain-classic."""

import asyncio
import json
import math
import pickle
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker as Stock
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError

from asked import BEST, NAN, QUERY, TEXTS, Given, Lengths, Reversed
from crossrank.errors import ArgumentTypeError, NotFiniteError
from crossrank.integrations.langchain import CrossEncoderReranker, CrossRankCrossEncoder, RerankingRetriever


def documents() -> list[Document]:
    return [Document(page_content=text, metadata={"n": i}, id=f"id-{i}") for i, text in enumerate(TEXTS)]


class All(BaseRetriever):
    """Retrieves the same documents for any query; none for "nothing"."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [] if query == "nothing" else self.found


class Runs(BaseCallbackHandler):
    """Keeps the names of runs, and how they ended."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, name: str, parent_run_id: Any, **_: Any) -> None:
        self.seen.append(f"start {name} {'child' if parent_run_id else 'root'} {inputs['query']}")

    def on_chain_end(self, outputs: Any, **_: Any) -> None:
        self.seen.append(f"end {len(outputs['documents'])}")

    def on_chain_error(self, error: BaseException, **_: Any) -> None:
        self.seen.append(f"error {type(error).__name__}")


class AsyncRuns(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_chain_start(self, serialized: Any, inputs: Any, *, name: str, **_: Any) -> None:
        self.seen.append(name)


def test_the_best_come_first_with_scores_on_copies() -> None:
    """What LangChain's own suite asserts, and what the stock class lacks: scores, ids, metadata; inputs stay."""
    given = documents()
    found = CrossEncoderReranker().compress_documents(given, QUERY)
    assert len(found) == 3
    assert found[0].page_content == BEST
    assert found[0].id == "id-1"
    assert set(found[0].metadata) == {"n", "relevance_score"}
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert [type(score) for score in scores] == [float] * 3
    assert [document.metadata for document in given] == [{"n": i} for i in range(4)]
    assert "relevance_score" in found[0].model_dump_json()
    assert CrossEncoderReranker().compress_documents([], QUERY) == []


def test_async_gives_the_same() -> None:
    """And many callers at a time over the same documents get their own scores."""
    reranker, given = CrossEncoderReranker(top_n=2), documents()
    expected = {query: reranker.compress_documents(given, query) for query in (QUERY, "snakes", "tower", "java")}

    async def main() -> list[Any]:
        return await asyncio.gather(*(reranker.acompress_documents(given, query) for query in list(expected) * 5))

    assert asyncio.run(main()) == list(expected.values()) * 5
    assert asyncio.run(reranker.acompress_documents([], QUERY)) == []


def test_in_retrievers() -> None:
    """Ours and langchain-classic's, sync and async; with no documents the compressor is not asked."""
    base, reranker = All(found=documents()), CrossEncoderReranker(top_n=1)
    for retriever in (
        ContextualCompressionRetriever(base_compressor=reranker, base_retriever=base),
        ContextualCompressionRetriever(
            base_compressor=DocumentCompressorPipeline(transformers=[reranker]), base_retriever=base
        ),
        RerankingRetriever(base_retriever=base, reranker=reranker),
    ):
        assert [document.page_content for document in retriever.invoke(QUERY)] == [BEST]
        assert asyncio.run(retriever.ainvoke(QUERY)) == retriever.invoke(QUERY)
        assert retriever.invoke("nothing") == asyncio.run(retriever.ainvoke("nothing")) == []
    assert len(RerankingRetriever(base_retriever=base).invoke(QUERY)) == 3


def test_cross_encoder() -> None:
    """A `BaseCrossEncoder`: in the stock reranker, and in ours; pairs of several queries."""
    model = CrossRankCrossEncoder()
    assert isinstance(model, BaseCrossEncoder)
    pairs = [(QUERY, TEXTS[1]), ("snakes", TEXTS[2]), (QUERY, TEXTS[0])]
    scores = model.score(pairs)
    assert [type(score) for score in scores] == [float] * 3
    assert asyncio.run(model.ascore(pairs)) == scores
    assert model.score([]) == asyncio.run(model.ascore([])) == []
    assert Stock(model=model, top_n=1).compress_documents(documents(), QUERY)[0].page_content == BEST
    ours = CrossEncoderReranker(model=model, top_n=1)
    assert ours.compress_documents(documents(), QUERY) == asyncio.run(ours.acompress_documents(documents(), QUERY))
    assert repr(CrossRankCrossEncoder("./nowhere")) == "CrossRankCrossEncoder('./nowhere')"


@pytest.mark.parametrize("option", ["model", "ranker"])
def test_foreign_rankers(option: str) -> None:
    """A foreign cross-encoder as model, any ranker as ranker; NaN comes last, in input order."""
    found = CrossEncoderReranker(**{option: Given(NAN, 1, NAN, 2)}, top_n=None).compress_documents(documents(), QUERY)
    assert [document.metadata["n"] for document in found] == [3, 1, 0, 2]
    found = CrossEncoderReranker(**{option: Reversed()}).compress_documents(documents(), QUERY)
    assert [document.metadata["n"] for document in found] == [3, 2, 1]


def test_fields() -> None:
    """Bad ones are a ValidationError; top_n None or beyond the length is all; a threshold filters."""
    for bad in ({"top_n": 0}, {"top_n": -1}, {"topn": 2}, {"model": 3}, {"ranker": "crossrank-mini-2", "model": 3}):
        with pytest.raises(ValidationError):
            CrossEncoderReranker(**bad)
    reranker = CrossEncoderReranker(ranker=Lengths(), top_n=None)
    assert len(reranker.compress_documents(documents(), QUERY)) == 4
    with pytest.raises(ValidationError):
        reranker.top_n = -1
    with pytest.raises(ValidationError, match="frozen"):
        reranker.model = "another"
    assert len(CrossEncoderReranker(ranker=Lengths(), top_n=99).compress_documents(documents(), QUERY)) == 4
    cut = CrossEncoderReranker(ranker=Given(0, 1, 2, NAN), top_n=None, threshold=1)
    assert [document.metadata["n"] for document in cut.compress_documents(documents(), QUERY)] == [2, 1]


def test_bad_documents_and_empty_queries() -> None:
    """Another type among the documents is named by its index; an empty query is ranked as it stands."""
    with pytest.raises(ArgumentTypeError, match=r"documents\[4\] is str; give langchain_core.documents.Document"):
        CrossEncoderReranker().compress_documents([*documents(), "text"], QUERY)
    assert len(CrossEncoderReranker().compress_documents(documents(), "")) == 3
    assert len(asyncio.run(CrossEncoderReranker().acompress_documents(documents(), ""))) == 3


def test_traced_as_a_run_of_its_own() -> None:
    """A child of the retriever's run, sync or async; errors are told of and go on to the caller."""
    for retrieve in (lambda r, c: r.invoke(QUERY, c), lambda r, c: asyncio.run(r.ainvoke(QUERY, c))):
        runs, later = Runs(), AsyncRuns()
        retriever = RerankingRetriever(base_retriever=All(found=documents()))
        retrieve(retriever, {"callbacks": [runs, later]})
        assert runs.seen == [f"start CrossEncoderReranker child {QUERY}", "end 3"]
        assert later.seen == ["CrossEncoderReranker"]

    class Broken:
        def score(self, pairs: Any) -> Any:
            raise NotFiniteError("no numbers")

    runs, reranker = Runs(), CrossEncoderReranker(ranker=Broken())
    with pytest.raises(NotFiniteError):
        reranker.compress_documents(documents(), QUERY, callbacks=[runs])
    with pytest.raises(NotFiniteError):
        asyncio.run(reranker.acompress_documents(documents(), QUERY, callbacks=[runs]))
    assert runs.seen[1::2] == ["error NotFiniteError"] * 2


def test_nothing_is_opened_by_looking() -> None:
    """Not by construction, repr, dumps, copies or pickles, which all work; the model's name is kept."""
    reranker = CrossEncoderReranker(model="./no-such-folder", top_n=5, threshold=0.5)
    assert "no-such-folder" in repr(reranker)
    dumped = json.loads(reranker.model_dump_json())
    assert CrossEncoderReranker(**dumped).model_dump() == dumped
    for copy in (pickle.loads(pickle.dumps(reranker)), reranker.model_copy(deep=True)):
        assert copy.model_dump() == dumped
        with pytest.raises(OSError, match="no-such-folder"):
            copy.compress_documents(documents(), QUERY)
    assert json.loads(CrossEncoderReranker(model=Lengths()).model_dump_json())["model"] == "Lengths"
    assert isinstance(reranker, BaseDocumentCompressor)
    assert not math.isnan(CrossEncoderReranker().compress_documents(documents(), QUERY)[0].metadata["relevance_score"])
