"""Rows equal, id for id, what the tokenizer itself makes of a pair."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.engine.cut import longest_first
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.pair import Pair
from crossrank.errors import DocumentError, QueryTooLongError
from engines import FAMILIES

pytestmark = pytest.mark.property
TEXT = st.text(max_size=80) | st.text(alphabet="abc dé.北[]SEP<s>/", max_size=200)


def open_encoder(folder: Path, family: str, **options: object) -> Encoder:
    profile = read_profile(folder, family)
    tokenizer = load_tokenizer(folder, profile)
    return Encoder(tokenizer, read_template(tokenizer, profile), EncodeConfig(profile.max_length, **options))


def reference(folder: Path, strategy: str, max_length: int = 64) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy=strategy)
    return tokenizer


@pytest.mark.parametrize("family", FAMILIES)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_rows_equal_the_pair_tokenisation(
    family: str, checkpoint: Callable[..., Path], pairs: list[tuple[str, str]]
) -> None:
    """Any query that fits, any document: the ids and segments are those of tokenizers' own pair, document cut only."""
    folder = checkpoint(family)
    encoder = open_encoder(folder, family, long_documents="truncate")
    tokenizer = reference(folder, "only_second")
    has_segments = family in ("bert", "electra")
    fitting = [Pair(q, d) for q, d in pairs if len(encoder.tokens([q])[q].ids) < 64 - encoder.template.special_tokens]
    for pair, encoded in zip(fitting, encoder.encode(fitting, {}), strict=True):
        expected = tokenizer.encode(pair.query, pair.document)
        (row,) = encoded.rows
        assert row.ids.tolist() == expected.ids
        assert row.segments.tolist() == (expected.type_ids if has_segments else [0] * len(expected.ids))
        assert encoded.truncated == bool(expected.overflowing)


@pytest.mark.parametrize("family", FAMILIES)
@given(query=TEXT, document=TEXT, repeats=st.integers(1, 9))
def test_longest_first_equals_the_tokenizers_truncation(
    family: str, checkpoint: Callable[..., Path], query: str, document: str, repeats: int
) -> None:
    """The drop-in's cut of both texts is that of tokenizers' LongestFirst."""
    folder = checkpoint(family)
    encoder = open_encoder(folder, family, cut_query=True)
    pair = Pair(query * repeats, document * repeats)
    expected = reference(folder, "longest_first").encode(pair.query, pair.document)
    (row,) = encoder.encode([pair], {})[0].rows
    assert row.ids.tolist() == expected.ids


@given(query=st.integers(0, 200), document=st.integers(0, 200), room=st.integers(1, 100))
def test_longest_first_fills_the_room(query: int, document: int, room: int) -> None:
    """Nothing is cut that fits, and nothing is left empty that could be filled."""
    kept_query, kept_document = longest_first(query, document, room)
    assert kept_query <= query
    assert kept_document <= document
    assert kept_query + kept_document == min(room, query + document)


@given(
    words=st.lists(st.text(alphabet="abcdefg.北", min_size=1, max_size=9), max_size=300), windows_max=st.integers(1, 12)
)
def test_windows_cover_the_document(checkpoint: Callable[..., Path], words: list[str], windows_max: int) -> None:
    """Windows fit the room, start at the beginning, overlap or touch, and reach the end unless `truncated` says no."""
    folder = checkpoint("bert")
    encoder = open_encoder(folder, "bert", windows_max=windows_max)
    text = " ".join(words)
    encoded = encoder.encode([Pair("query", text)], {})[0]
    tokens = encoder.tokens([text])[text].ids
    query = encoder.tokens(["query"])["query"].ids
    covered = 0
    for row in encoded.rows:
        assert len(row.ids) <= 64
        document = row.ids[len(query) + 2 : -1].tolist()
        starts = [s for s in range(covered + 1) if tokens[s : s + len(document)].tolist() == document]
        assert starts, "a window is not a run of the document's tokens that touches the one before"
        covered = max(covered, starts[-1] + len(document))
    assert len(encoded.rows) <= windows_max
    assert encoded.truncated == (covered < len(tokens))
    assert encoded.tokens == len(tokens)
    assert all(0 <= start <= end <= len(text) for start, end in encoded.passages)


def test_windows_end_at_sentences(checkpoint: Callable[..., Path]) -> None:
    """Where a sentence ends in the last quarter of a window, the window ends there."""
    encoder = open_encoder(checkpoint("bert"), "bert")
    text = "the quick brown fox jumps over the lazy dog. " * 20
    encoded = encoder.encode([Pair("fox", text)], {})[0]
    assert len(encoded.rows) > 2
    assert all(text[start:end].rstrip().endswith("dog.") for start, end in encoded.passages)


def test_left_truncation_keeps_the_end(checkpoint: Callable[..., Path]) -> None:
    """A model whose tokenizer cuts on the left reads the end of a long document."""
    encoder = open_encoder(checkpoint("bert"), "bert", long_documents="truncate", truncation_side="left")
    text = "alpha " * 100 + "omega"
    (passage,) = encoder.encode([Pair("q", text)], {})[0].passages
    assert text[slice(*passage)].endswith("omega")


@pytest.mark.parametrize("mode", ["chunk", "truncate", "error"])
def test_a_query_is_never_cut(mode: str, checkpoint: Callable[..., Path]) -> None:
    """A query that alone does not fit is an error that says how long it is and what is allowed."""
    encoder = open_encoder(checkpoint("bert"), "bert", long_documents=mode)
    with pytest.raises(QueryTooLongError, match=r"has \d+ tokens.*64.*never cut"):
        encoder.encode([Pair("python " * 80, "a document")], {})


def test_error_mode_names_the_document(checkpoint: Callable[..., Path]) -> None:
    """`long_documents="error"` says which document is too long, how long, and how much room there is."""
    encoder = open_encoder(checkpoint("bert"), "bert", long_documents="error")
    with pytest.raises(DocumentError, match=r"'fox fox.*has \d+ tokens.*room for \d+"):
        encoder.encode([Pair("fox", "fox " * 99)], {})
