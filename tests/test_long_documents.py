"""Documents beyond the model's room: what of them is read, in which windows, and what these come to."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.engine.cut import OVERLAP_SHARE, aggregate_of, beginning, chunk
from crossrank.engine.fingerprint import fingerprint
from crossrank.engine.head import aggregated
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.errors import CrossrankError

LONG = "The quick brown fox jumps over the lazy dog. " * 30
FLOATS = st.integers(-(2**20), 2**20).map(lambda value: value / 1024)  # whose sums are exact
LOGITS = st.lists(FLOATS, min_size=1, max_size=9).map(lambda values: np.array(values, np.float32))


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("bert"))


def logit(folder: str, document: str = LONG, **options: object) -> float:
    with Reranker(folder, cache=None, **options) as reranker:
        return reranker.rank("fox", [document])[0].logit


# Windows


@pytest.mark.property
@given(
    words=st.lists(
        st.tuples(st.text("ab.北", min_size=1, max_size=6), st.sampled_from([" ", "", ". ", "\n"])), max_size=90
    ),
    room=st.integers(1, 40),
    windows_max=st.integers(1, 9),
)
def test_windows_of_any_tokens(words: list[tuple[str, str]], room: int, windows_max: int) -> None:
    """Every token is in a window unless the cut is reported; windows are ordered, fit the room, and neither leave gaps
    nor overlap by more than their share."""
    text, offsets = "", []
    for word, space in words:
        offsets.append((len(text), len(text) + len(word)))
        text += word + space
    windows = chunk(text, offsets, room, windows_max)
    ranges = windows.ranges
    assert 1 <= len(ranges) <= windows_max
    assert ranges[0][0] == 0
    assert all(0 < stop - start <= room for start, stop in ranges) or not offsets
    for (start, stop), (following, end) in pairwise(ranges):
        assert start < following <= stop < end
        assert stop - following <= room // OVERLAP_SHARE
    read = {token for start, stop in ranges for token in range(start, stop)}
    assert windows.truncated == (len(read) < len(offsets))
    assert windows.truncated <= (len(ranges) == windows_max)
    assert read == set(range(ranges[-1][1]))


def test_neighbouring_windows_share_an_eighth() -> None:
    """Where every token is a word, exactly that; of pieces of words, from the first word that begins in it."""
    words = [(2 * i, 2 * i + 1) for i in range(100)]
    assert chunk("a " * 100, words, 40, 9).ranges == ((0, 40), (35, 75), (70, 100))
    pieces = [(i + i // 3, i + i // 3 + 1) for i in range(100)]  # three to a word
    assert chunk("abc " * 34, pieces, 40, 9).ranges == ((0, 39), (36, 75), (72, 100))


# Aggregates


@pytest.mark.property
@given(logits=LOGITS, best=st.integers(1, 12), data=st.data())
def test_the_laws_of_aggregates(logits: np.ndarray, best: int, data: st.DataObject) -> None:
    """One is the highest; more never make it larger; any number lies between mean and highest, whatever the order."""
    value = aggregated(logits, best)
    assert aggregated(logits, 1) == logits.max()
    assert value == np.float32(value)
    assert aggregated(logits, best + 1) <= value <= logits.max()
    assert value >= np.float32(logits.astype(np.float64).mean())
    assert aggregated(logits, len(logits) + best) == aggregated(logits, len(logits))
    assert aggregated(np.array(data.draw(st.permutations(list(logits))), np.float32), best) == value


def test_aggregates_by_name() -> None:
    """Those are "max", "first" and "mean_top_K"; anything else is none."""
    top = {name: aggregate_of(name) for name in ("max", "first", "mean_top_1", "mean_top_3")}
    assert {name: (a.best, a.only_first) for name, a in top.items()} == {
        "max": (1, False),
        "first": (1, True),
        "mean_top_1": (1, False),
        "mean_top_3": (3, False),
    }
    assert not any(
        map(aggregate_of, ("", "mean", "mean_top_k", "mean_top_0", "mean_top_-1", "mean_top_3 ", "sum", "MAX"))
    )


def test_the_logits_of_windows_come_to_one(folder: str) -> None:
    """The mean of the best of them, as fp32; the passage stays that of the best window."""
    scorer = open_scorer(OpenConfig(folder, cache=None))
    with Reranker(folder, cache=None) as reranker:
        windows = len(scorer.encoder.encode([Pair("fox", LONG)], {})[0].rows)
        best = reranker.rank("fox", [LONG])[0]
        texts = scorer.encoder.encode([Pair("fox", LONG)], {})[0].passages
        alone = sorted((reranker.rank("fox", [LONG[slice(*passage)]])[0].logit for passage in texts), reverse=True)
    assert windows > 3
    assert best.logit == alone[0]
    with Reranker(folder, cache=None, aggregate="mean_top_3") as reranker:
        mean = reranker.rank("fox", [LONG])[0]
        assert mean.logit == np.float32(np.mean(np.array(alone[:3], np.float64)))
        assert (mean.passage, mean.truncated, mean.tokens) == (best.passage, best.truncated, best.tokens)
        assert reranker.rank("fox", ["the quick fox"])[0].logit == logit(folder, "the quick fox")
    assert logit(folder, aggregate="mean_top_999") == np.float32(np.mean(np.array(alone, np.float64)))


def test_only_the_first_window_is_read(folder: str) -> None:
    """`aggregate="first"` costs one window, says that the rest was not read, and ends where a sentence does."""
    with Reranker(folder, cache=None, aggregate="first") as reranker:
        ranking = reranker.rank("fox", [LONG, "a fox"])
        hit = next(hit for hit in ranking if hit.index == 0)
        assert hit.truncated
        assert hit.passage[0] == 0
        assert LONG[: hit.passage[1]].endswith("dog.")
        assert ranking.usage["tokens"] <= 2 * 64
        assert not next(hit for hit in ranking if hit.index == 1).truncated
        assert hit.logit == reranker.rank("fox", [LONG[: hit.passage[1]]])[0].logit


# The first characters


@pytest.mark.property
@given(text=st.text(st.sampled_from("ab \n\u3000é北")) | st.text(), characters=st.integers(1, 40))
def test_the_beginning_of_any_text(text: str, characters: int) -> None:
    """A prefix of at most so many characters, at least three quarters of them; not within a word where it can be."""
    read = beginning(text, characters)
    assert text.startswith(read)
    assert len(read) <= characters
    assert len(read) >= min(len(text), characters - characters // 4)
    if len(read) < len(text) and not text[len(read)].isspace():
        assert len(read) == characters
        assert not any(c.isspace() for c in text[characters - characters // 4 : characters + 1])


@pytest.mark.parametrize("long_documents", ["chunk", "truncate", "error"])
def test_only_the_first_characters_are_read(folder: str, long_documents: str) -> None:
    """The score is that of the beginning alone, at a word's edge; text and document stay whole, and the hit says so."""
    with Reranker(folder, max_chars=47, long_documents=long_documents) as reranker:
        (hit,) = reranker.rank("fox", [LONG])
        assert hit.text == LONG
        assert hit.truncated
        assert LONG[slice(*hit.passage)] == "The quick brown fox jumps over the lazy dog."
        (short,) = reranker.rank("fox", [LONG[: hit.passage[1]]])
        assert (short.logit, short.truncated, short.passage) == (hit.logit, False, hit.passage)
        assert short.tokens == hit.tokens
        prepared = reranker.prepare([LONG, "fox"])
        assert reranker.rank("fox", prepared)[0].logit == reranker.rank("fox", [LONG, "fox"])[0].logit
    assert hit.logit == logit(folder, LONG[:44])


def test_windows_of_the_first_characters(folder: str) -> None:
    """A limit above the model's room: the windows are those of the shortened text."""
    options = {"max_chars": 600}
    assert logit(folder, **options) == logit(folder, LONG[:600].rsplit(" ", 1)[0])


def test_a_query_is_never_shortened(folder: str) -> None:
    """Not even one that is a prepared document at the same time, whose first characters are all that is known of it."""
    query = "alpha beta gamma delta epsilon"
    with Reranker(folder, max_chars=6, cache=None) as reranker:
        given = reranker.rank(query, reranker.prepare([query, "gamma"]))
        assert given.scores == reranker.rank(query, [query, "gamma"]).scores
        assert given.scores != reranker.rank("alpha", [query, "gamma"]).scores


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregate": "mean"}, "aggregate='mean' is not known; allowed: max, first, mean_top_2"),
        ({"aggregate": "mean_top_0"}, "not known"),
        ({"aggregate": None}, "not known"),
        ({"aggregate": "first", "long_documents": "truncate"}, "about the windows.*'truncate' makes none"),
        ({"aggregate": "mean_top_2", "long_documents": "error"}, "about the windows.*'error' makes none"),
        ({"max_chars": 0}, "max_chars=0 is too small"),
        ({"max_chars": 1.5}, "max_chars must be a whole number"),
        ({"max_chars": True}, "max_chars must be a whole number"),
    ],
)
def test_options_that_cannot_be_taken(folder: str, options: dict[str, object], message: str) -> None:
    """Each error says what was given and what is allowed."""
    with pytest.raises(CrossrankError, match=message):
        Reranker(folder, **options)


def test_shared_caches_tell_the_settings_apart(folder: str) -> None:
    """Whatever changes a score is in the model's identity; what does not is not."""

    def identity(**options: object) -> bytes:
        scorer = open_scorer(OpenConfig(folder, cache=None, **options))
        return fingerprint(Path(folder), scorer.profile, scorer.encoder, scorer.backend.facts)

    different = [
        identity(),
        identity(aggregate="first"),
        identity(aggregate="mean_top_2"),
        identity(aggregate="mean_top_3"),
        identity(max_chars=400),
        identity(max_chars=401),
        identity(windows_max=3),
        identity(long_documents="truncate"),
        identity(instruction_mode="prefix"),
        identity(instruction_mode="prefix", instruction="x"),
    ]
    assert len(set(different)) == len(different)
    assert identity(aggregate="mean_top_1") == identity(aggregate="max")


def test_very_few_characters_do_not_look_like_a_broken_model(folder: str) -> None:
    """The look at a model when it is opened reads its probes to the end."""
    with Reranker(folder, max_chars=1) as reranker:
        assert len(reranker.rank("fox", ["The fox", "A dog"])) == 2


def test_the_drop_in_is_not_concerned(folder: str) -> None:
    """What reads both texts as sentence-transformers does makes no windows."""
    scorer = open_scorer(OpenConfig(folder, cache=None, cut_query=True))
    assert scorer.encoder.config.windows == 1
