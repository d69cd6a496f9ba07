"""Haystack: the ranker component, alone and in pipelines, YAML and back."""

import asyncio
import copy
import json
import math
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.core.errors import SerializationError
from haystack.utils import ComponentDevice, Secret

from asked import BEST, NAN, QUERY, TEXTS, Given, Lengths
from crossrank import Reranker
from crossrank.integrations.haystack import CrossEncoderRanker as Same
from haystack_integrations.components.rankers.crossrank import CrossEncoderRanker
from warned import warns

NAMESPACE = "haystack_integrations.components.rankers.crossrank.CrossEncoderRanker"


def documents() -> list[Document]:
    return [Document(id=f"id-{i}", content=text, score=0.5) for i, text in enumerate(TEXTS)]


@component
class Found:
    """Gives the same documents for any query."""

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, Any]:
        return {"documents": documents()}


def test_the_best_come_first_on_copies() -> None:
    """With scores as floats; those given stay; run_async gives the same."""
    given = documents()
    ranker = CrossEncoderRanker(top_k=3)
    found = ranker.run(QUERY, given)["documents"]
    assert len(found) == 3
    assert found[0].content == BEST
    assert found[0].id == "id-1"
    assert [type(document.score) for document in found] == [float] * 3
    assert [document.score for document in found] == sorted((document.score for document in found), reverse=True)
    assert all(document.score == 0.5 for document in given)
    assert asyncio.run(ranker.run_async(QUERY, given))["documents"] == found
    assert Same is CrossEncoderRanker


def test_in_pipelines() -> None:
    """Sync and async, from YAML, without a list of allowed modules."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", CrossEncoderRanker(top_k=1))
    loaded = Pipeline.loads(pipeline.dumps())
    assert NAMESPACE in pipeline.dumps()
    for each in (pipeline, loaded):
        each.add_component("found", Found())
        each.connect("found.documents", "ranker.documents")
        asked = {"found": {"query": QUERY}, "ranker": {"query": QUERY}}
        assert each.run(asked)["ranker"]["documents"][0].content == BEST
        assert asyncio.run(each.run_async(asked))["ranker"]["documents"][0].content == BEST


def test_concurrent_runs_over_the_same_documents() -> None:
    """Each gets its own scores."""
    ranker, given = CrossEncoderRanker(), documents()
    queries = [QUERY, "snakes of africa", "towers in paris"] * 5

    async def main() -> list[Any]:
        return await asyncio.gather(*(ranker.run_async(query, given) for query in queries))

    assert asyncio.run(main()) == [ranker.run(query, given) for query in queries]


def test_to_dict_and_back() -> None:
    """Exactly; nothing is opened; a device becomes its name; the given dict stays."""
    ranker = CrossEncoderRanker(
        model="./no-such-folder", top_k=5, meta_fields_to_embed=["title"], device=ComponentDevice.from_str("cpu")
    )
    written = ranker.to_dict()
    assert written == {
        "type": NAMESPACE,
        "init_parameters": {
            "model": "./no-such-folder",
            "top_k": 5,
            "device": "cpu",
            "query_prefix": "",
            "query_suffix": "",
            "document_prefix": "",
            "document_suffix": "",
            "meta_fields_to_embed": ["title"],
            "embedding_separator": "\n",
            "scale_score": None,
            "score_threshold": None,
            "max_length": None,
        },
    }
    kept = json.loads(json.dumps(written))
    assert CrossEncoderRanker.from_dict(written).to_dict() == kept == written
    assert copy.deepcopy(ranker).to_dict() == written
    assert ranker.run(QUERY, []) == asyncio.run(ranker.run_async(QUERY, [])) == {"documents": []}
    for opening in (
        ranker.warm_up,
        lambda: asyncio.run(ranker.warm_up_async()),
        lambda: ranker.run(QUERY, documents()),
    ):
        with pytest.raises(OSError, match="no-such-folder"):
            opening()
    with pytest.raises(SerializationError, match="give model= instead"):
        CrossEncoderRanker(ranker=Lengths()).to_dict()
    ours = CrossEncoderRanker()
    ours.warm_up()
    ours.warm_up()


def test_what_stock_rankers_take() -> None:
    """What has no meaning is told of; what nobody knows fails."""
    with warns("token= has no effect in crossrank; set HF_TOKEN"):
        CrossEncoderRanker(token=Secret.from_token("t"), trust_remote_code=False)
    with pytest.raises(TypeError, match=r"unexpected argument 'topk'. Did you mean 'top_k'"):
        CrossEncoderRanker(topk=3)


def test_the_text_that_is_read() -> None:
    """Metadata before the content, falsy values kept and None left out; prefixes and suffixes; no content is ""."""
    ranker = Lengths()
    reader = CrossEncoderRanker(
        ranker=ranker,
        meta_fields_to_embed=["n", "none", "missing"],
        embedding_separator=" | ",
        query_prefix="q: ",
        query_suffix="?",
        document_prefix="<",
        document_suffix=">",
    )
    reader.run("a", [Document(content="text", meta={"n": 0, "none": None}), Document(content=None, meta={"n": ""})])
    assert ranker.asked == [[("q: a?", "<0 | text>"), ("q: a?", "< | >")]]


def test_scores_and_thresholds() -> None:
    """The model's own, sigmoids or logits; 0.0 is a threshold; NaN is last, and below any threshold."""
    hits = Reranker().rank(QUERY, TEXTS)
    for scale, expected in ((None, hits.scores), (False, [hit.logit for hit in hits]), (True, hits.scores)):
        found = CrossEncoderRanker(scale_score=scale).run(QUERY, documents())["documents"]
        assert [document.score for document in found] == pytest.approx(expected, abs=1e-6)
    found = CrossEncoderRanker().run(QUERY, documents(), scale_score=False, score_threshold=0.0)["documents"]
    assert [document.score for document in found] == [hit.logit for hit in hits if hit.logit >= 0]
    scores = Given(NAN, -1, NAN, 2)
    found = CrossEncoderRanker(ranker=scores).run(QUERY, documents())["documents"]
    assert [document.id for document in found] == ["id-3", "id-1", "id-0", "id-2"]
    assert math.isnan(found[2].score)
    found = CrossEncoderRanker(ranker=scores, score_threshold=0.0).run(QUERY, documents())["documents"]
    assert [document.id for document in found] == ["id-3"]


def test_bad_input() -> None:
    """top_k below 1, at construction and in run; another type among the documents; an empty query is ranked."""
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"top_k={bad} asks for no hits"):
            CrossEncoderRanker(top_k=bad)
        with pytest.raises(ValueError, match=f"top_k={bad} asks for no hits"):
            CrossEncoderRanker().run(QUERY, documents(), top_k=bad)
    with pytest.raises(TypeError, match=r"documents\[0\] is str; give haystack.Document"):
        CrossEncoderRanker().run(QUERY, ["text"])
    assert len(CrossEncoderRanker(top_k=None).run("", documents())["documents"]) == 4
    assert len(CrossEncoderRanker(top_k=99).run(QUERY, documents())["documents"]) == 4


def test_equal_ids_are_one() -> None:
    """The one that came with the highest score."""
    twice = [Document(id="a", content="short", score=0.1), Document(id="a", content="longer", score=0.9)]
    found = CrossEncoderRanker(ranker=Lengths()).run(QUERY, [*twice, Document(id="a", content="x")])["documents"]
    assert [document.content for document in found] == ["longer"]
