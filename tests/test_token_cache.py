"""Tokens of texts that were met before: the same, known without the tokenizer, bounded, off with the cache."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.engine.encode import EncodeConfig, Encoder, token_cache
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.observe import subscribe
from engines import FAMILIES
from forked import holds_in_a_child

TEXT = st.text(max_size=60) | st.text(alphabet="abc dé.北[]SEP<s>/", max_size=400)
DOCUMENTS = [f"The quick brown fox jumps over {i} lazy dogs." for i in range(50)]


class Counting:
    """A tokenizer that counts the texts it is given."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.texts: list[str] = []

    def encode_batch(self, texts: list[str], **options: Any) -> Any:
        self.texts += texts
        return self._tokenizer.encode_batch(texts, **options)

    def encode(self, text: str, **options: Any) -> Any:
        self.texts.append(text)
        return self._tokenizer.encode(text, **options)


def open_encoder(folder: Path, family: str = "bert", **options: Any) -> tuple[Encoder, Counting]:
    profile = read_profile(folder, family)
    tokenizer = Counting(load_tokenizer(folder, profile))
    template = read_template(tokenizer._tokenizer, profile)
    config = EncodeConfig(profile.max_length)
    return Encoder(tokenizer, template, config, recent=token_cache(), **options), tokenizer  # type: ignore[arg-type]


def rows(encoded: list[Any]) -> list[Any]:
    return [([row.ids.tolist() for row in item.rows], item.passages, item.tokens, item.truncated) for item in encoded]


@pytest.mark.property
@pytest.mark.parametrize("family", FAMILIES)
@given(pairs=st.lists(st.tuples(st.just("a fox"), TEXT), min_size=1, max_size=5))
def test_rows_are_those_without_a_cache(
    family: str, checkpoint: Callable[..., Path], pairs: list[tuple[str, str]]
) -> None:
    """At the first time, at the second, and for texts so long that they are cut."""
    encoder, _ = open_encoder(checkpoint(family), family)
    asked = [Pair(query, document) for query, document in pairs]
    expected = rows(replace(encoder, recent=None).encode(asked, {}))
    assert [rows(encoder.encode(asked, {})) for _ in range(2)] == [expected, expected]


def test_documents_are_tokenised_once(checkpoint: Callable[..., Path]) -> None:
    """For another query only the query is."""
    encoder, tokenizer = open_encoder(checkpoint("bert"))
    for query in ("fox", "dog"):
        encoder.encode([Pair(query, document) for document in DOCUMENTS], {})
    encoder.encode([Pair("dog", document) for document in (*DOCUMENTS, "one more")], {})
    assert tokenizer.texts == ["fox", *DOCUMENTS, "dog", "one more"]
    known = encoder.prepare(DOCUMENTS)
    encoder.encode([Pair("zebra", document) for document in DOCUMENTS], known)
    assert tokenizer.texts[-1] == "zebra"
    assert len(tokenizer.texts) == 54


def test_it_is_bounded(checkpoint: Callable[..., Path]) -> None:
    """By bytes, the texts themselves among them; a text larger than the bound is not kept."""
    encoder, tokenizer = open_encoder(checkpoint("bert"))
    recent = token_cache(20_000)
    encoder = replace(encoder, recent=recent)
    encoder.tokens(["x" * 20_000])
    assert len(recent) == 0
    for i in range(200):
        encoder.tokens([f"the fox number {i}"])
        assert recent.bytes <= 20_000
    assert 5 < len(recent) < 200
    asked = len(tokenizer.texts)
    encoder.tokens(["the fox number 199"])
    assert len(tokenizer.texts) == asked


def test_threads_and_forks(checkpoint: Callable[..., Path]) -> None:
    """Each finds the right tokens, whoever put them there."""
    folder = checkpoint("bert")
    with Reranker(str(folder), cache=None) as plain:
        expected = {query: plain.rank(query, DOCUMENTS).scores for query in "abcd"}
    wrong: list[str] = []
    reranker = Reranker(str(folder))

    def work(query: str) -> None:
        if reranker.rank(query, DOCUMENTS).scores != expected[query]:
            wrong.append(query)

    threads = [threading.Thread(target=work, args=(query,)) for query in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    if hasattr(os, "fork"):
        assert holds_in_a_child(lambda: reranker.rank("a", DOCUMENTS).scores == expected["a"])


def test_no_cache_keeps_nothing(checkpoint: Callable[..., Path]) -> None:
    """`cache=None` turns both caches off; any other keeps tokens in memory."""
    for cache, kept in ((None, False), ("memory", True)):
        scorer = open_scorer(OpenConfig(str(checkpoint("bert")), cache=cache))
        scorer.score([Pair("fox", document) for document in DOCUMENTS])
        assert (scorer.encoder.recent is not None) == kept
        assert not kept or len(scorer.encoder.recent) > len(DOCUMENTS)  # type: ignore[arg-type]


def test_what_was_known_is_an_event(checkpoint: Callable[..., Path]) -> None:
    """Texts met before and not, of one call."""
    encoder, _ = open_encoder(checkpoint("bert"))
    events: list[Any] = []
    unsubscribe = subscribe(events.append)
    encoder.tokens(["a", "b"])
    encoder.tokens(["b", "c", "b"])
    unsubscribe()
    assert [(event.tier, event.hits, event.misses) for event in events] == [("tokens", 0, 2), ("tokens", 1, 1)]
