"""Cascade, Failover and `fallback=`: rankers made of rankers, asked and awaited."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Cascade, Failover, Hit, Ranker, Ranking, Reranker, Stage
from crossrank.backends.contract import Batch, Limits, Logits
from crossrank.errors import (
    ArgumentTypeError,
    DeadlineError,
    NotFiniteError,
    OutOfMemoryError,
    OverloadError,
    RemoteError,
    UsageError,
)
from crossrank.testing import FakeBackend
from fakes import schedulers

TEXTS = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]


class Fake:
    """Ranks by a function of the text; None is a document that was not reached. Raises what it is told to."""

    def __init__(self, name: str, score: Callable[[str], float | None], error: Exception | None = None) -> None:
        self.name = name
        self.score = score
        self.error = error
        self.asked: list[tuple[list[str], dict[str, Any]]] = []
        self.closed = False

    def rank(self, query: str, documents: Sequence[str], **options: Any) -> Ranking:
        self.asked.append((list(documents), options))
        if self.error is not None:
            raise self.error
        scores = [self.score(text) for text in documents]
        order = sorted(range(len(scores)), key=lambda i: float("inf") if (s := scores[i]) is None else -s)
        hits = (
            Hit(
                rank, i, scores[i], None, documents[i], documents[i], scored_by=None if scores[i] is None else self.name
            )
            for rank, i in enumerate(order, 1)
        )
        return Ranking(tuple(hits)[: options.get("top_k")], query, {"run": 1.0}, {"pairs": len(documents)})

    def close(self) -> None:
        self.closed = True


class Awaitable(Fake):
    """The same, with `arank`."""

    async def arank(self, query: str, documents: Sequence[str], **options: Any) -> Ranking:
        await anyio.lowlevel.checkpoint()
        return super().rank(query, documents, **options)

    def rank(self, query: str, documents: Sequence[str], **options: Any) -> Ranking:
        raise AssertionError("what can be awaited is awaited")


short_first = Fake("short", lambda text: -len(text))
long_first = Fake("long", len)


@pytest.fixture(params=["rank", "arank"])
def asks(request: pytest.FixtureRequest) -> Callable[..., Ranking]:
    """Asks a ranker, waiting or awaiting."""

    def ask(ranker: Any, *arguments: Any, **options: Any) -> Ranking:
        if request.param == "rank":
            return ranker.rank(*arguments, **options)

        async def main() -> Ranking:
            return await ranker.arank(*arguments, **options)

        return anyio.run(main)

    return ask


def test_a_cascade_ranks_the_best_of_one_stage_by_the_next(asks: Callable[..., Ranking]) -> None:
    """Each hit says who scored it; what a stage dropped follows those that went on, in that stage's order."""
    ranking = asks(Cascade([Stage(short_first, keep=3), Stage(long_first)]), "query", TEXTS)
    assert [hit.text for hit in ranking] == ["ccc", "bb", "a", "dddd", "eeeee", "ffffff"]
    assert [hit.scored_by for hit in ranking] == ["long"] * 3 + ["short"] * 3
    assert ranking.indices == [2, 1, 0, 3, 4, 5]
    assert [hit.rank for hit in ranking] == [1, 2, 3, 4, 5, 6]
    assert ranking.usage == {"pairs": 9, "documents": 6}
    assert all(hit.document is TEXTS[hit.index] for hit in ranking)


def test_the_last_stage_says_how_many_hits_there_are(asks: Callable[..., Ranking]) -> None:
    """`keep` of the last stage, then the caller's `top_k`; a `threshold` is of the last stage's scores."""
    cascade = Cascade([Stage(short_first, keep=4), Stage(long_first, keep=2)])
    assert [hit.text for hit in asks(cascade, "query", TEXTS)] == ["dddd", "ccc"]
    assert [hit.text for hit in asks(cascade, "query", TEXTS, top_k=1)] == ["dddd"]
    assert [hit.text for hit in asks(cascade, "query", TEXTS, threshold=4)] == ["dddd"]
    assert len(asks(cascade, "query", [])) == 0


def test_a_cascade_out_of_time_keeps_every_document(asks: Callable[..., Ranking]) -> None:
    """Those of the last stage first, then those that only a stage before it reached, then those that none did."""
    partly = Fake("partly", lambda text: None if text == "ccc" else -len(text))
    later = Fake("later", lambda text: len(text) if text == "bb" else None)
    ranking = asks(Cascade([Stage(partly), Stage(later)]), "query", TEXTS, deadline_s=100, threshold=0)
    assert [(hit.text, hit.scored_by) for hit in ranking] == [
        ("bb", "later"),
        ("a", "partly"),
        ("dddd", "partly"),
        ("eeeee", "partly"),
        ("ffffff", "partly"),
        ("ccc", None),
    ]
    late = Fake("late", len, DeadlineError("too late"))
    ranking = asks(Cascade([Stage(short_first), Stage(late)]), "query", TEXTS, deadline_s=100)
    assert {hit.scored_by for hit in ranking} == {"short"}
    assert asks(Cascade([Stage(short_first), Stage(late)]), "query", TEXTS, deadline_s=0).indices == list(range(6))


@given(
    texts=st.lists(st.text(max_size=5), max_size=12),
    keeps=st.lists(st.one_of(st.none(), st.integers(1, 15)), min_size=1, max_size=4),
)
def test_a_cascade_neither_loses_nor_doubles_a_document(texts: list[str], keeps: list[int | None]) -> None:
    """Whatever the stages keep, the ranking has as many hits as the last one lets through, each once."""
    ranking = Cascade([Stage(Fake(str(i), len), keep=keep) for i, keep in enumerate(keeps)]).rank("query", texts)
    assert len(set(ranking.indices)) == len(ranking) == min(len(texts), keeps[-1] or len(texts))
    assert all(hit.document is texts[hit.index] for hit in ranking)


@pytest.mark.parametrize(
    "error",
    [
        NotFiniteError("x"),
        OutOfMemoryError("x"),
        RemoteError("x"),
        DeadlineError("x"),
        OverloadError("x", retry_after_s=1),
    ],
)
def test_failover_asks_the_next_and_says_why(asks: Callable[..., Ranking], error: Exception) -> None:
    """The second answer carries the first one's failure; without failures there is nothing to say."""
    broken = Fake("broken", len, error)
    ranking = asks(Failover([broken, long_first]), "query", TEXTS, top_k=2)
    assert [hit.text for hit in ranking] == ["ffffff", "eeeee"]
    assert ranking.fallback == f"{type(error).__name__}: x"
    assert asks(Failover([long_first, broken]), "query", TEXTS).fallback is None


def test_failover_raises_what_the_last_one_raised(asks: Callable[..., Ranking]) -> None:
    """With the failures before it in its notes; a mistake of the caller's is not passed on."""
    first, last = Fake("first", len, RemoteError("down")), Fake("last", len, OverloadError("full", retry_after_s=3))
    with pytest.raises(OverloadError, match="full") as error:
        asks(Failover([first, last]), "query", TEXTS)
    assert error.value.__notes__ == ["before it: RemoteError: down"]
    mistaken = Fake("mistaken", len, UsageError("no such field"))
    with pytest.raises(UsageError, match="no such field"):
        asks(Failover([mistaken, long_first]), "query", TEXTS)


def test_failover_leaves_time_for_another(asks: Callable[..., Ranking]) -> None:
    """Half of what is left for each but the last; an answer without a single score is none."""
    slow, last = Fake("slow", lambda text: None), Fake("last", len)
    ranking = asks(Failover([slow, last]), "query", TEXTS, deadline_s=10_000.0)
    assert {hit.scored_by for hit in ranking} == {"last"}
    assert ranking.fallback is not None
    assert ranking.fallback.startswith("DeadlineError")
    assert 4_900 < slow.asked[0][1]["deadline_s"] <= 5_000
    assert 9_800 < last.asked[0][1]["deadline_s"] <= 10_000


def test_input_order_is_the_last_resort(asks: Callable[..., Ranking]) -> None:
    """The documents as they came, without scores, and the reason."""
    ranking = asks(Failover([Fake("broken", len, RemoteError("down")), "input-order"]), "query", TEXTS, top_k=3)
    assert ranking.indices == [0, 1, 2]
    assert ranking.scores == [None] * 3
    assert ranking.fallback == "RemoteError: down"


def test_what_can_be_awaited_is_awaited() -> None:
    """Rankers with `arank` are never asked in a thread."""

    async def main() -> Ranking:
        return await Cascade([Stage(Failover([Awaitable("inner", len)]), keep=2)]).arank("query", TEXTS)

    assert [hit.text for hit in anyio.run(main)] == ["ffffff", "eeeee"]


class Plain:
    """Takes no more than the protocol says."""

    def __init__(self) -> None:
        self.asked = 0

    def rank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
        self.asked += 1
        hits = (Hit(i + 1, i, 1.0 - i, None, text, text) for i, text in enumerate(documents))
        return Ranking(tuple(hits)[:top_k], query)

    async def arank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
        return self.rank(query, documents, top_k=top_k)


def test_hints_go_to_rankers_that_take_them(asks: Callable[..., Ranking]) -> None:
    """`deadline_s` and `priority` are left out for a ranker without them; others get both."""
    broken = Fake("broken", len, RemoteError("down"))
    for composed in (Failover([broken, Plain()]), Cascade([Stage(Failover([broken, Plain()]))])):
        assert asks(composed, "query", TEXTS, top_k=2, deadline_s=1_000, priority=2).indices == [0, 1]
        assert broken.asked[-1][1]["priority"] == 2
        assert broken.asked[-1][1]["deadline_s"] > 10


@pytest.mark.parametrize(
    "given", [{"threshold": 0.5}, {"threshold_on": "probability"}, {"fields": ["a"]}, {"instruction": "x"}]
)
def test_an_option_that_one_does_not_have_is_an_error_at_once(
    asks: Callable[..., Ranking], given: dict[str, Any], checkpoint: Callable[..., Path]
) -> None:
    """Not only when the ranker is needed: a call that is right with the first is right with all."""
    first, plain = Fake("first", len), Plain()
    for ranker in (Failover([first, plain]), Reranker(str(checkpoint("bert")), fallback=plain)):
        with pytest.raises(UsageError, match=r"not an option of .*Plain|no calibration|instruction"):
            asks(ranker, "query", TEXTS, **given)
    assert (first.asked, plain.asked) == ([], 0)


def test_a_threshold_may_be_on_the_probability_of_the_last_stage(asks: Callable[..., Ranking]) -> None:
    """Only that stage is asked for probabilities; what has none does not reach it."""

    class Calibrated(Fake):
        def rank(self, query: str, documents: Sequence[str], **options: Any) -> Ranking:
            ranking = super().rank(query, documents, **options)
            chances = {"a": 0.1, "bb": 0.6, "ccc": None}
            return replace(ranking, hits=tuple(replace(hit, probability=chances[hit.text]) for hit in ranking))

    first, last = Fake("first", lambda text: -len(text)), Calibrated("last", len)
    cascade = Cascade([Stage(first, keep=3), Stage(last)])
    ranking = asks(cascade, "query", TEXTS, threshold=0.5, threshold_on="probability")
    assert [hit.text for hit in ranking] == ["bb"]
    assert (first.asked[0][1], last.asked[0][1]) == ({}, {"threshold_on": "probability"})
    with pytest.raises(UsageError, match="no calibration"):
        asks(Cascade([Stage(Reranker(calibration=None))]), "query", TEXTS, threshold_on="probability")


@pytest.mark.parametrize("priority", ["high", 1.5, None])
def test_a_priority_is_a_whole_number(asks: Callable[..., Ranking], priority: Any) -> None:
    """Anything else is refused, whoever ranks."""
    with pytest.raises(ArgumentTypeError, match="priority must be a whole number"):
        asks(Failover([long_first]), "query", TEXTS, priority=priority)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: Failover([]), UsageError, "no rankers"),
        (lambda: Failover(["cohere"]), UsageError, r"rankers\[0\]='cohere'"),
        (lambda: Failover([Reranker]), ArgumentTypeError, "rank"),
        (lambda: Cascade([]), UsageError, "list of stages"),
        (lambda: Cascade([long_first]), UsageError, "list of stages"),
        (lambda: Stage(object()), ArgumentTypeError, "has none"),
        (lambda: Stage("input-order"), UsageError, "Failover"),
        (lambda: Stage(long_first, keep=0), UsageError, "0"),
        (lambda: Reranker(fallback="nothing"), UsageError, "input-order"),
    ],
)
def test_what_is_no_ranker_is_refused(build: Callable[[], object], error: type[Exception], says: str) -> None:
    """At construction, with what is allowed."""
    with pytest.raises(error, match=says):
        build()


def test_rankers_made_of_rankers_are_rankers_and_close_them() -> None:
    """They go wherever a ranker does."""
    inner = Fake("inner", len)
    with Cascade([Stage(inner)]) as cascade, Failover([cascade]) as failover:
        assert isinstance(cascade, Ranker)
        assert isinstance(failover, Ranker)
        assert "Stage" in repr(failover)
    assert inner.closed


def test_a_local_failure_is_answered_by_the_fallback(
    asks: Callable[..., Ranking], checkpoint: Callable[..., Path]
) -> None:
    """`Reranker(fallback=)`: the reason is told; without one, the failure is an error."""

    class Full(FakeBackend):
        def run(self, batch: Batch, *, exact: bool = False) -> Logits:
            raise OutOfMemoryError("no memory")

    for fallback, scores in (("input-order", [None, None]), (Reranker(), None)):
        reranker = Reranker(str(checkpoint("bert")), fallback=fallback, cache=None)
        reranker._engine = schedulers(reranker._engine.scorer, Full(lambda ids: 0.0, Limits(512, 64)))
        ranking = asks(reranker, "query", TEXTS, top_k=2)
        assert ranking.fallback == "OutOfMemoryError: no memory"
        assert scores is None or ranking.scores == scores
        assert len(ranking) == 2
    reranker._fallback = None
    with pytest.raises(OutOfMemoryError):
        asks(reranker, "query", TEXTS)


def test_a_cascade_of_real_models(bundled: Reranker, checkpoint: Callable[..., Path]) -> None:
    """A tiny model chooses, the bundled one ranks; deadlines and fields pass through."""
    documents = [{"title": text, "n": i} for i, text in enumerate(TEXTS)]
    cascade = Cascade([Stage(Reranker(str(checkpoint("bert"))), keep=3), Stage(bundled)])
    started = time.monotonic()
    ranking = cascade.rank("query", documents, fields=["title"], deadline_s=1000, top_k=5)
    assert time.monotonic() - started < 1000
    assert [hit.scored_by for hit in ranking] == ["crossrank-mini"] * 3 + [ranking[4].scored_by] * 2
    assert all(hit.document is documents[hit.index] for hit in ranking)
