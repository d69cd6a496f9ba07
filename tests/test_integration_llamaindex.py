"""LlamaIndex: the node postprocessor, alone and in a query engine; sync and async."""

import asyncio
import json
import pickle
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from asked import BEST, NAN, QUERY, TEXTS, Given, Lengths
from crossrank.integrations.llamaindex import CrossEncoderPostprocessor
from warned import warns


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(id_=f"id-{i}", text=text), score=0.5) for i, text in enumerate(TEXTS)]


def test_the_best_come_first_and_inputs_stay() -> None:
    """New nodes with scores as floats; those that were given keep theirs."""
    given = nodes()
    found = CrossEncoderPostprocessor().postprocess_nodes(given, query_str=QUERY)
    assert len(found) == 2
    assert found[0].node is given[1].node
    assert found[0].text == BEST
    assert [type(node.score) for node in found] == [float] * 2
    assert found[0].score > found[1].score
    assert "score" in found[0].model_dump_json()
    assert [node.score for node in given] == [0.5] * 4
    assert issubclass(CrossEncoderPostprocessor, BaseNodePostprocessor)
    assert CrossEncoderPostprocessor().postprocess_nodes([], query_str=QUERY) == []


def test_async_over_the_same_nodes() -> None:
    """Concurrent queries get their own scores."""
    post, given = CrossEncoderPostprocessor(top_n=None), nodes()
    queries = [QUERY, "snakes of africa", "towers in paris"] * 5
    expected = [post.postprocess_nodes(given, query_str=query) for query in queries]

    async def main() -> list[Any]:
        return await asyncio.gather(*(post.apostprocess_nodes(given, query_str=query) for query in queries))

    for left, right in zip(asyncio.run(main()), expected, strict=True):
        assert [(node.node_id, node.score) for node in left] == [(node.node_id, node.score) for node in right]
    assert asyncio.run(post.apostprocess_nodes([], query_str=QUERY)) == []


def test_in_a_query_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync and async, with an LLM that only repeats."""

    monkeypatch.setattr(Settings, "_llm", MockLLM())

    class All(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return nodes()

    engine = RetrieverQueryEngine(
        retriever=All(),
        response_synthesizer=get_response_synthesizer(llm=MockLLM(), response_mode=ResponseMode.NO_TEXT),
        node_postprocessors=[CrossEncoderPostprocessor(top_n=1)],
    )
    assert [node.text for node in engine.query(QUERY).source_nodes] == [BEST]
    assert [node.text for node in asyncio.run(engine.aquery(QUERY)).source_nodes] == [BEST]


def test_listeners_are_told() -> None:
    """By LlamaIndex's callbacks and by its events."""
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event)

    handler, debug = Handler(), LlamaDebugHandler(print_trace_on_end=False)
    root = get_dispatcher()
    root.add_event_handler(handler)
    try:
        post = CrossEncoderPostprocessor(ranker=Lengths())
        post.callback_manager = CallbackManager([debug])
        post.postprocess_nodes(nodes(), query_str=QUERY)
        asyncio.run(post.apostprocess_nodes(nodes(), query_str=QUERY))
    finally:
        root.event_handlers.remove(handler)
    assert [event.class_name() for event in seen if "ReRank" in event.class_name()] == [
        "ReRankStartEvent",
        "ReRankEndEvent",
    ] * 2
    assert (seen[0].model_name, seen[0].top_n) == ("Lengths", 2)
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 2


def test_the_retrieval_score_goes_to_a_copy() -> None:
    """Neither the node nor the text that is scored next has it."""
    ranker, given = Lengths(), nodes()
    post = CrossEncoderPostprocessor(ranker=ranker, keep_retrieval_score=True)
    found = post.postprocess_nodes(given, query_str=QUERY)
    assert found[0].metadata["retrieval_score"] == 0.5
    assert all(node.metadata == {} for node in given)
    post.postprocess_nodes(given, query_str=QUERY)
    assert ranker.asked[0] == ranker.asked[1]


def test_the_text_is_what_is_embedded() -> None:
    """With metadata, but those that are excluded from embedding."""
    ranker = Lengths()
    node = TextNode(text="a", metadata={"title": "t", "secret": "s"}, excluded_embed_metadata_keys=["secret"])
    CrossEncoderPostprocessor(ranker=ranker).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    assert ranker.asked == [[(QUERY, "title: t\n\na")]]


def test_bad_input() -> None:
    """No query, another type among the nodes, top_n below 1, unknown arguments; NaN last; an empty query is ranked."""
    with pytest.raises(ValueError, match="no query to rank by"):
        CrossEncoderPostprocessor().postprocess_nodes(nodes())
    with pytest.raises(ValueError, match="Cannot specify both"):
        CrossEncoderPostprocessor().postprocess_nodes(nodes(), QueryBundle("a"), "a")
    with pytest.raises(TypeError, match=r"nodes\[0\] is str"):
        CrossEncoderPostprocessor().postprocess_nodes(["text"], query_str=QUERY)
    for bad in ({"top_n": 0}, {"top_n": -1}, {"ranker": 3}):
        with pytest.raises(ValidationError):
            CrossEncoderPostprocessor(**bad)
    with warns("trust_remote_code= has no effect in crossrank"):
        CrossEncoderPostprocessor(2, "crossrank-mini", trust_remote_code=True)
    with pytest.raises(TypeError, match=r"unexpected argument 'topn'. Did you mean 'top_n'"):
        CrossEncoderPostprocessor(topn=3)
    assert len(CrossEncoderPostprocessor(top_n=99).postprocess_nodes(nodes(), query_str="")) == 4
    post = CrossEncoderPostprocessor(top_n=None, ranker=Given(NAN, 1, NAN, 2))
    assert [node.node_id for node in post.postprocess_nodes(nodes(), query_str=QUERY)] == [
        "id-3",
        "id-1",
        "id-0",
        "id-2",
    ]
    cut = CrossEncoderPostprocessor(top_n=None, threshold=2, ranker=Given(NAN, 1, NAN, 2))
    assert len(cut.postprocess_nodes(nodes(), query_str=QUERY)) == 1


def test_nothing_is_opened_by_looking() -> None:
    """Not by construction, repr, to_dict, to_json, pickles or copies, all of which come back."""
    post = CrossEncoderPostprocessor(model="./no-such-folder", top_n=7, threshold=0.25)
    assert "no-such-folder" in repr(post)
    assert json.loads(post.to_json())["model"] == "./no-such-folder"
    copies = [CrossEncoderPostprocessor.from_dict(post.to_dict()), CrossEncoderPostprocessor.from_json(post.to_json())]
    for copy in (*copies, pickle.loads(pickle.dumps(post))):
        assert copy.to_dict() == post.to_dict()
        with pytest.raises(OSError, match="no-such-folder"):
            copy.postprocess_nodes(nodes(), query_str=QUERY)
