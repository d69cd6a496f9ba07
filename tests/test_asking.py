"""How integrations ask: nothing is opened too early, any ranker will do, NaN is last, an empty query is ranked."""

import asyncio
import copy
import math
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asked import QUERY, TEXTS, Given, Lengths, Reversed
from crossrank import CrossEncoder, Failover, Ranking, Reranker
from crossrank.errors import NotFiniteError
from crossrank.integrations.asking import Asking, best


class Broken:
    """Fails as a model whose numbers are none does."""

    def rank(self, query: str, documents: list[str], **_: object) -> Ranking:
        raise NotFiniteError("no numbers")


def test_opened_once_by_whoever_asks_first() -> None:
    """Not when made, named, copied or pickled, nor for no texts; by many threads at once, one model."""
    asking = Asking("./no-such-folder")
    assert asking.name == "./no-such-folder"
    assert copy.deepcopy(pickle.loads(pickle.dumps(asking))).places(QUERY, []) == []
    with pytest.raises(OSError, match="no-such-folder"):
        asking.places(QUERY, TEXTS)
    asking, found = Asking(), []
    threads = [threading.Thread(target=lambda: found.append(asking.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_scores_are_those_of_the_reranker(bundled: Reranker) -> None:
    """Documents are truncated; the order is by logit; asked in time or awaited."""
    long = [*TEXTS, "filler " * 400 + TEXTS[1]]
    expected = Reranker(long_documents="truncate", cache=None).rank(QUERY, long)
    asking = Asking()
    places = asking.places(QUERY, long)
    assert [(place.at, place.score) for place in places] == [(hit.index, hit.score) for hit in expected]
    assert asyncio.run(asking.aplaces(QUERY, long)) == places
    assert asking.scores([(QUERY, TEXTS[1])]) == asyncio.run(asking.ascores([(QUERY, TEXTS[1])]))
    assert bundled.rank(QUERY, long)[0].index in (1, 4)


def test_an_empty_query_is_ranked_as_it_stands() -> None:
    """By the model, as sentence-transformers would; Reranker itself refuses it."""
    asking = Asking()
    expected = CrossEncoder().predict([("", text) for text in TEXTS])
    np.testing.assert_allclose(sorted(expected)[::-1], [p.score for p in asking.places("", TEXTS)], atol=2e-2)
    assert len(asyncio.run(asking.aplaces("  ", TEXTS))) == len(asking.scores([("", text) for text in TEXTS])) == 4
    with pytest.raises(ValueError, match="query is empty"):
        Reranker().rank("", TEXTS)


@pytest.mark.parametrize("ranker", [Lengths(), Reversed(), CrossEncoder(), Reranker(cache=None)])
def test_any_ranker_will_do(ranker: object) -> None:
    """One that ranks, one that scores pairs, sentence-transformers' kind, our own; in time and awaited."""
    asking = Asking(ranker=ranker)
    places = asking.places(QUERY, TEXTS)
    assert sorted(place.at for place in places) == [0, 1, 2, 3]
    assert [place.score for place in places] == sorted((place.score for place in places), reverse=True)
    assert asyncio.run(asking.aplaces(QUERY, TEXTS)) == places


@pytest.mark.property
@given(st.lists(st.sampled_from([math.nan, -1.0, 0.0, 1.0, math.inf]), min_size=1, max_size=9))
def test_nan_is_last_in_input_order(scores: list[float]) -> None:
    """And equal scores keep the order of the input."""
    places = Asking(ranker=Given(*scores)).places(QUERY, [str(i) for i in range(len(scores))])
    assert sorted(place.at for place in places) == list(range(len(scores)))
    keys = [(math.isnan(p.score), 0 if math.isnan(p.score) else -p.score, p.at) for p in places]
    assert keys == sorted(keys)


def test_what_has_no_score_says_so() -> None:
    """A ranking in input order gives None, not a number, to those who write it down; the order stands."""
    places = Asking(ranker=Failover([Broken(), "input-order"])).places(QUERY, TEXTS)
    assert [(place.at, place.given) for place in places] == [(0, None), (1, None), (2, None), (3, None)]
    assert best(places, None, 0.0) == []


def test_a_ranker_that_can_only_be_awaited() -> None:
    """Is awaited, and not asked in a thread; in time it is an error that says so."""

    class Awaited:
        async def arank(self, query: str, documents: list[str]) -> Ranking:
            assert threading.current_thread() is threading.main_thread()
            return Reversed().rank(query, documents)

    asking = Asking(ranker=Awaited())
    assert [place.at for place in asyncio.run(asking.aplaces(QUERY, TEXTS))] == [3, 2, 1, 0]
    with pytest.raises(ValueError, match="Awaited can only be awaited"):
        asking.places(QUERY, TEXTS)


def test_what_cannot_be_asked_is_refused() -> None:
    """When it is given; and a wrong number of scores when they come."""
    with pytest.raises(TypeError, match=r"ranker=3 cannot rank; give an object with rank\(query, documents\)"):
        Asking(ranker=3)
    with pytest.raises(TypeError, match="cannot rank"):
        Asking(ranker=Reranker)
    with pytest.raises(ValueError, match=r"Both model='a' and ranker= were given"):
        Asking("a", Lengths())
    with pytest.raises(ValueError, match="gave 1 scores for 4 texts"):
        Asking(ranker=Given(1.0)).places(QUERY, TEXTS)
    assert best(Asking(ranker=Given(0.5, math.nan, 2)).places(QUERY, TEXTS[:3]), None, 0.0)[-1].at == 0


def test_concurrent_callers_share_batches(checkpoint: Callable[..., Path]) -> None:
    """50 at a time, each with its own answer."""
    asking = Asking(str(checkpoint("bert")))

    async def main() -> list:
        return await asyncio.gather(*(asking.aplaces(f"query {i}", TEXTS) for i in range(50)))

    alone = Reranker(str(checkpoint("bert")), long_documents="truncate", cache=None)
    for i, places in enumerate(asyncio.run(main())):
        assert [place.score for place in places] == alone.rank(f"query {i}", TEXTS).scores


@pytest.mark.parametrize(
    ("module", "framework", "extra"),
    [
        ("crossrank.integrations.langchain", "langchain_core", "langchain"),
        ("crossrank.integrations.lancedb", "lancedb", "lancedb"),
        ("crossrank.integrations.llamaindex", "llama_index", "llamaindex"),
        ("crossrank.integrations.haystack", "haystack", "haystack"),
        ("haystack_integrations.components.rankers.crossrank", "haystack", "haystack"),
    ],
)
def test_a_framework_that_is_not_installed(module: str, framework: str, extra: str) -> None:
    """Importing its integration says which command installs it."""
    code = f"import sys; sys.modules[{framework!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "crossrank.errors.MissingExtra" in done.stderr
    assert f"Run: pip install 'crossrank[{extra}]'" in done.stderr
