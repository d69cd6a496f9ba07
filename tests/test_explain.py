"""Shares of a document's parts: they add up, are Shapley's where that is decided, and point into the text."""

import math
import time
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.explain import Explanation, explain
from crossrank.explain.explain import CHARACTERS_MAX, UNITS_MAX
from crossrank.explain.shares import scaled, shares
from crossrank.explain.units import grouped, sentences, words
from crossrank.remote import RemoteReranker
from crossrank.testing import FakeVendor

QUERY = "Who created Python?"
TEXT = (
    "Monty Python is a comedy group. Guido van Rossum created the Python programming language in 1991. "
    "The Netherlands are flat."
)
LOGIT = st.floats(-100, 100, width=32)
LOGITS = st.lists(LOGIT, min_size=1, max_size=12).map(lambda values: np.array(values, np.float64))
TEXTS = st.text(st.sampled_from('ab .!?\n。、北京はM3"é"،؟'), max_size=60)


class Words:
    """A ranker whose score is a sum over the words that it finds; remembers what it was asked."""

    def __init__(self, values: dict[str, float], bias: float = 0.0) -> None:
        self.values, self.bias = values, bias
        self.asked: list[list[tuple[str, str]]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked.append(list(pairs))
        return [self.bias + sum(self.values.get(word.strip(".,"), 0.0) for word in d.split()) for _, d in pairs]


def by_span(explanation: Explanation) -> dict[str, float]:
    return {span.text: span.share for span in explanation}


@pytest.mark.property
@given(whole=LOGIT, empty=LOGIT, without=LOGITS, data=st.data())
def test_shares_add_up(whole: float, empty: float, without: np.ndarray, data: st.DataObject) -> None:
    """To the whole's score less that of nothing, whatever the model says of the parts."""
    alone = np.array(data.draw(st.lists(LOGIT, min_size=len(without), max_size=len(without))))
    found = shares(whole, empty, without, alone)
    assert found.sum() == pytest.approx(whole - empty, abs=1e-6)


@pytest.mark.property
@given(values=LOGITS, total=LOGIT)
def test_scaling_keeps_signs_order_and_zeros(values: np.ndarray, total: float) -> None:
    """Wherever there is something of the total's sign to scale; and what adds up already stays as it is."""
    assert scaled(values, values.sum()) == pytest.approx(values, abs=1e-6)
    found = scaled(values, total)
    if (total > 0 and (values > 0).any()) or (total < 0 and (values < 0).any()):
        assert (np.sign(found) * np.sign(values) >= 0).all()
        assert not found[values == 0].any()
        assert (np.diff(found[np.argsort(values)]) >= 0).all()


@pytest.mark.property
@given(n=st.integers(1, 6), data=st.data())
def test_shares_are_shapleys_where_parts_work_in_pairs(n: int, data: st.DataObject) -> None:
    """v(S) = v(nothing) + what each adds + what each pair adds: the shares are the exact Shapley values."""
    weight = st.floats(-5, 5, width=32)
    single = data.draw(st.lists(weight, min_size=n, max_size=n))
    both = {pair: data.draw(weight) for pair in combinations(range(n), 2)}

    def value(parts: set[int]) -> float:
        return 1.5 + sum(single[i] for i in parts) + sum(b for pair, b in both.items() if parts >= set(pair))

    shapley = [single[i] + sum(b for pair, b in both.items() if i in pair) / 2 for i in range(n)]
    everything = set(range(n))
    without = np.array([value(everything - {i}) for i in range(n)])
    found = shares(value(everything), value(set()), without, np.array([value({i}) for i in range(n)]))
    assert found == pytest.approx(np.array(shapley), abs=1e-6)


def test_parts_that_do_the_same_share_it() -> None:
    """Leaving out one of three equal sentences changes nothing; each has a third of the score all the same."""
    found = shares(6.0, 0.0, np.array([6.0, 6.0, 6.0, 6.0]), np.array([6.0, 6.0, 6.0, 0.0]))
    assert found == pytest.approx([2.0, 2.0, 2.0, 0.0])


def test_words_of_an_additive_ranker_get_what_they_add() -> None:
    """In one batch: the whole, nothing, and each word left out and alone; equal texts are asked once."""
    ranker = Words({"good": 2.0, "bad": -1.0}, bias=0.5)
    found = explain(ranker, "q", "A good, bad day.", unit="word")
    assert by_span(found) == pytest.approx({"A": 0.0, "good": 2.0, "bad": -1.0, "day": 0.0})
    assert (found.whole, found.empty, found.scale, found.unit) == (1.5, 0.5, "score", "word")
    assert len(ranker.asked) == 1
    assert sorted(d for _, d in ranker.asked[0]) == sorted(
        [
            "A good, bad day.",
            "",
            "good, bad day.",
            "A bad day.",
            "A good, day.",
            "A good, bad",
            "A",
            "good,",
            "bad",
            "day.",
        ]
    )


@pytest.mark.parametrize("unit", ["sentence", "word"])
def test_the_bundled_model_is_explained(bundled: Reranker, unit: str) -> None:
    """The sentence that answers, and the words of the query, have the largest shares."""
    found = bundled.explain(QUERY, TEXT, unit=unit)  # type: ignore[arg-type]
    whole, empty = bundled.score([(QUERY, TEXT), (QUERY, "")], raw=True)
    assert found.scale == "logit"
    assert (found.whole, found.empty) == (whole, empty)
    assert sum(span.share for span in found) == pytest.approx(float(whole) - float(empty))
    best = max(found, key=lambda span: span.share)
    assert best.text.startswith("Guido") if unit == "sentence" else best.text == "Python"


@pytest.mark.property
@given(text=TEXTS, unit=st.sampled_from(["sentence", "word"]))
def test_spans_are_parts_of_the_text_in_order(text: str, unit: str) -> None:
    """None is empty or overlaps another; what is between sentences is white space, between words no letter."""
    found = (sentences if unit == "sentence" else words)(text, 0, len(text))
    edges = [0, *(edge for one in found for edge in one), len(text)]
    assert edges == sorted(edges)
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in found)
    between = "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert not between.strip() if unit == "sentence" else not any(c.isalnum() for c in between)
    assert [(one.start, one.end) for one in explain(Words({}), "q", text, unit=unit)] == found or not found  # type: ignore[arg-type]
    assert all(b <= a for (_, b), (a, _) in pairwise(found))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It is 3.14, e.g. this. Yes! (Really?) No…", ["It is 3.14, e.g. this.", "Yes!", "(Really?)", "No…"]),
        ('He said "go." Then he went. "No!" he said.', ['He said "go."', "Then he went.", '"No!" he said.']),
        ("all small. with words etc. and so on! yes", ["all small.", "with words etc. and so on!", "yes"]),
        ("title: Shoe\nprice: 12.50\n\n- red", ["title: Shoe", "price: 12.50", "- red"]),
        ("北京是首都。東京は？「はい。」そう", ["北京是首都。", "東京は？", "「はい。」", "そう"]),
        ("هل هذا جيد؟ نعم۔ حسنا", ["هل هذا جيد؟", "نعم۔", "حسنا"]),
        ("यह है। वह था॥ हाँ", ["यह है।", "वह था॥", "हाँ"]),
        (" \n ", []),
    ],
)
def test_sentences_of_many_scripts(text: str, wanted: list[str]) -> None:
    assert [text[a:b] for a, b in sentences(text, 0, len(text))] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('"Don\'t", said Ann-Marie (C++, 5€).', ["Don't", "said", "Ann-Marie", "C++", "5€"]),
        ("Python是语言 です。", ["Python", "是", "语", "言", "で", "す"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("한국어 문장.", ["한국어", "문장"]),
        ("... !!", []),
    ],
)
def test_words_of_many_scripts(text: str, wanted: list[str]) -> None:
    assert [text[a:b] for a, b in words(text, 0, len(text))] == wanted


def test_many_parts_are_taken_together() -> None:
    """At most so many, of about equal length, with nothing left out."""
    ranges = [(i, i + 1) for i in range(0, 4_000, 2)]
    parts = grouped(ranges, 64)
    assert len(parts) == 64
    assert (parts[0][0], parts[-1][1]) == (0, 3_999)
    assert {b - a for a, b in parts} <= {61, 63}
    found = explain(Words({"x": 1.0}), "q", "x " * 2_000, unit="word")
    assert len(found) == UNITS_MAX["word"]
    assert sum(span.share for span in found) == pytest.approx(2_000)


def test_of_a_long_document_words_are_those_of_the_best_passage(bundled: Reranker) -> None:
    """Sentences are those of the whole text, unless it is huge."""
    text = "The sea is blue today. " * 120 + TEXT
    by_word, by_sentence = (bundled.explain(QUERY, text, unit=unit) for unit in ("word", "sentence"))  # type: ignore[arg-type]
    assert by_word.passage == bundled.rank(QUERY, [text])[0].passage
    assert by_word.passage[0] <= by_word[0].start < by_word[-1].end <= by_word.passage[1] == len(text)
    assert by_sentence.passage == (0, len(text))
    assert len(by_sentence) <= UNITS_MAX["sentence"]
    huge = "The sea is blue today. " * (CHARACTERS_MAX // 20) + TEXT
    found = bundled.explain(QUERY, huge)
    assert found.passage[0] > 0
    assert "Guido" in max(found, key=lambda span: span.share).text


def test_structured_documents_are_explained_as_they_are_read(bundled: Reranker) -> None:
    document = {"title": "Python", "year": 1991, "note": "none"}
    found = bundled.explain(QUERY, document, fields=["title", "year"])
    assert found.text == "title: Python\nyear: 1991"
    assert [span.text for span in found] == ["title: Python", "year: 1991"]
    assert [found.text[span.start : span.end] for span in found] == [span.text for span in found]


@pytest.mark.parametrize(("text", "parts"), [("", 0), (" \n", 0), ("!!!", 1), ("one", 1)])
def test_texts_of_nothing_have_shares_too(bundled: Reranker, text: str, parts: int) -> None:
    found = bundled.explain(QUERY, text, unit="word")
    assert len(found) == parts
    assert sum(span.share for span in found) == pytest.approx(found.whole - found.empty)


def test_a_vendor_that_takes_no_empty_text_is_asked_for_a_full_stop() -> None:
    class Vendor(Words):
        def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [score if d else math.nan for score, (_, d) in zip(super().score(pairs), pairs, strict=True)]

    vendor = Vendor({"good": 2.0}, bias=0.5)
    found = explain(vendor, "q", "good day", unit="word")
    assert by_span(found) == pytest.approx({"good": 2.0, "day": 0.0})
    assert vendor.asked[1] == [("q", ".")]
    with pytest.raises(ArithmeticError, match="no finite number for 'bad day'"):
        explain(Words({"bad": math.nan}), "q", "bad day", unit="word")


@pytest.mark.parametrize(("dialect", "scale"), [("crossrank", "logit"), ("cohere", "score")])
def test_remote_rerankers_are_explained_too(dialect: str, scale: str) -> None:
    """On logits where the server gives them, else on scores; in one call, as they take no empty text in one more."""
    with FakeVendor(dialect, key="k") as server:
        with RemoteReranker("cohere:m", base_url=server.url, dialect=dialect, api_key="k") as reranker:
            found = reranker.explain("ab", "word one a. other. word ab.")
        assert found.scale == scale
        assert [span.text for span in found] == ["word one a. other.", "word ab."]
        assert sum(span.share for span in found) == pytest.approx(found.whole - found.empty)
        passage, parts, nothing = (set(call.documents) for call in server.calls)
        assert (passage, nothing) == ({found.text}, {"."})
        assert parts - passage == {"word one a. other.", "word ab."}
        assert found.scored == 4


def test_mistakes_are_errors(bundled: Reranker) -> None:
    with pytest.raises(ValueError, match="'sentence' or 'word'"):
        bundled.explain(QUERY, TEXT, unit="line")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="has no score"):
        explain(object(), QUERY, TEXT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="query is empty"):
        bundled.explain(" ", TEXT)
    with pytest.raises(TypeError, match=r"documents\[0\] is None"):
        bundled.explain(QUERY, None)


@pytest.mark.parametrize("text", [".", ". ", '."', "。", "?!", "a.", "\n", "(", "((a"])
def test_no_text_takes_long_to_be_taken_apart(text: str) -> None:
    """A million characters of whatever stops, in a time that grows with their number: a server takes them."""
    text *= 1_000_000 // len(text)
    started = time.thread_time()  # what others do on this machine does not count
    sentences(text, 0, len(text))
    words(text, 0, len(text))
    assert time.thread_time() - started < 60  # it was an hour, by the square of the length
