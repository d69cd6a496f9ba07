"""Whatever a caller means by a document becomes the text it stands for; the caller's objects are left alone."""

import copy
import tracemalloc
from collections import UserDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.documents.texts import as_documents, render
from crossrank.errors import ArgumentTypeError, DocumentError

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=20)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Page:
    page_content: str


def spaced(value: object) -> object:
    """The value with white space inside texts folded: rendering may change it."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [spaced(item) for item in value]
    return {key: spaced(item) for key, item in value.items()} if isinstance(value, dict) else value


def texts(documents: list[object], **options: object) -> list[str]:
    return [item.text for item in as_documents(documents, **options)]


def test_shapes_of_documents() -> None:
    """Strings, mappings and objects give their text; of a mapping the first of text, content, page_content."""
    documents = [
        "plain",
        {"content": "c", "text": "t", "page_content": "p"},
        {"page_content": "p", "content": "c"},
        {"page_content": "p"},
        UserDict(text="user"),
        MappingProxyType({"content": "proxy"}),
        Page("page"),
        SimpleNamespace(text="t", page_content="p"),
        SimpleNamespace(text=None, content="c"),
    ]
    assert texts(documents) == ["plain", "t", "c", "p", "user", "proxy", "page", "t", "c"]


def test_structured_documents_are_yaml_in_their_own_order() -> None:
    """Without a text field the whole mapping is read; with `fields` only those, in the order of `fields`."""
    document = {"title": "Zürich: façades", "year": 1859, "tags": ["a", "b"], "price": None, "when": date(2024, 5, 1)}
    assert texts([document]) == ["title: 'Zürich: façades'\nyear: 1859\ntags:\n- a\n- b\nprice: null\nwhen: 2024-05-01"]
    assert texts([document], fields=["year", "title"]) == ["year: 1859\ntitle: 'Zürich: façades'"]
    assert texts([{"text": "t", "title": "x"}], fields=["title"]) == ["title: x"]


@given(st.dictionaries(st.text("abcdef", min_size=1), VALUES, max_size=5))
def test_rendered_documents_can_be_read_back(document: dict[str, object]) -> None:
    """The YAML is valid, loses nothing, holds no anchors, and keeps the order of keys."""
    text = render(document)
    back = yaml.safe_load(text)
    assert spaced(back) == spaced(document)
    assert list(back) == list(document)


def test_shared_and_unusual_values_are_spelled_out() -> None:
    """No anchors for shared values; long text stays on its line; sets are sorted; unknown objects are their str()."""
    shared = ["x", "y"]
    assert "&" not in render({"a": shared, "b": shared})
    assert render({"a": "word " * 100}).count("\n") == 0
    assert render({"a": {"c", "a", "b"}}) == "a:\n- a\n- b\n- c"
    assert render({"t": datetime(2024, 5, 1, 12, 30, tzinfo=UTC)}) == "t: 2024-05-01 12:30:00+00:00"
    assert render({"p": Page("x")}).startswith("p: Page(")
    assert render({1: "a", "1": "b"}) == "1: a\n'1': b"
    assert render({"n": np.float64(1.5), "b": np.bool_(True), "v": np.arange(2)}) == "n: 1.5\nb: true\nv:\n- 0\n- 1"


def test_no_escapes_reach_the_model() -> None:
    """Tabs, line breaks, emoji and control characters are written as a reader would see them."""
    assert render({"t": "price:\t5 😀"}) == "t: 'price: 5 😀'"
    assert render({"t": "line one\r\n  line two \n\nend\n"}) == "t: |-\n  line one\n    line two\n\n  end"
    assert render({"t": "note: it's here"}) == "t: |-\n  note: it's here"
    assert render({"t": "it's here"}) == "t: it's here"
    assert render({"t": "a\ufffeb"}) == "t: a b"
    with pytest.raises(DocumentError, match="lone surrogate"):
        render({"t": ["a\ud800"]})
    assert render({"t": "bell\x07 and \u2028 separator"}) == "t: bell  and   separator"


def test_missing_fields_are_named() -> None:
    """The error tells the document's index, the fields it lacks and those it has."""
    with pytest.raises(DocumentError, match=r"documents\[1\] has no field 'title'; its fields are: 'text', 'id'"):
        texts([{"title": "a"}, {"text": "b", "id": 1}], fields=["title"])


@pytest.mark.parametrize("line", ["a line of text ", "it's a line: of text\n", "x"])
def test_a_huge_document_costs_a_few_copies(line: str) -> None:
    """As a string, a field or a nested field: memory is a small multiple of the text's size, whatever is in it."""
    text = line * (10_000_000 // len(line))
    tracemalloc.start()
    for document in (text, {"a": text}, {"a": [{"b": text}]}):
        fields = None if document is text else ["a"] if isinstance(document["a"], str) else ["a[0].b"]
        (item,) = as_documents([document], fields)
        assert len(text) - 1 <= len(item.text) < 1.2 * len(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 7 * len(text)


def test_recursion_is_an_error() -> None:
    """A mapping that contains itself is refused with the remedy."""
    document: dict[str, object] = {"title": "a"}
    document["self"] = document
    with pytest.raises(
        DocumentError, match=r"documents\[0\] is nested deeper than 32 levels or contains itself.*fields="
    ):
        texts([document])


@pytest.mark.parametrize("document", [None, 1, 2.5, b"bytes", object(), ["a"], SimpleNamespace(text=3)])
def test_what_is_no_document_is_named(document: object) -> None:
    """The TypeError tells the index and what a document may be."""
    with pytest.raises(ArgumentTypeError, match=r"documents\[1\] is .*a document is a str, a mapping"):
        texts(["fine", document])


def test_lone_surrogates_are_refused() -> None:
    """Text that is no valid Unicode is told apart before it reaches the tokenizer."""
    with pytest.raises(DocumentError, match=r"documents\[0\] holds a lone surrogate at character 1"):
        texts(["a\ud800"])


def test_identity_is_kept_and_nothing_is_changed(bundled: Reranker) -> None:
    """Hits carry the caller's own objects, which are not touched; to_dicts gives new ones."""
    documents = [{"content": "Guido van Rossum created Python.", "id": 1}, {"content": "Peas.", "id": 2}, Page("Paris")]
    before = copy.deepcopy(documents)
    ranking = bundled.rank("who created python", documents)
    assert documents == before
    assert all(hit.document is documents[hit.index] for hit in ranking)
    assert [id(document) for document in ranking.documents] == [id(documents[i]) for i in ranking.indices]
    dicts = ranking.to_dicts()
    assert dicts[0] == {"content": "Guido van Rossum created Python.", "id": 1, "score": ranking[0].score}
    assert {"text": "Paris", "index": 2, "score": next(h.score for h in ranking if h.index == 2)} in dicts


def test_generators_and_tuples_are_documents(bundled: Reranker) -> None:
    """Any iterable of documents is taken, each item once."""
    assert len(bundled.rank("q", (text for text in ("a", "b")))) == 2
    assert len(bundled.rank("q", ("a", "b", "c"))) == 3
