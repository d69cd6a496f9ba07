"""A field's path leads to its value, a literal key before everything else; what is missing is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker
from crossrank.documents.fields import select
from crossrank.documents.texts import as_documents
from crossrank.errors import DocumentError

DOCUMENT = {
    "title": "Rust",
    "author": {"name": "Ada", "address": {"city": "Zürich"}, "a.b": 1},
    "tags": ["x", "y"],
    "sections": [{"title": "One", "notes": ["n"]}, {"title": "Two", "rows": [[1, 2], [3]]}],
    "author.email": "literal",
    "odd[0]": "bracket",
    "empty": {},
    "none": None,
}
KEYS = st.text(alphabet="ab.[0]", min_size=1, max_size=4)
TREES = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "Rust"),
        ("author.name", "Ada"),
        ("author.address.city", "Zürich"),
        ("author.address", {"city": "Zürich"}),
        ("author.email", "literal"),
        ("author.a.b", 1),
        ("tags", ["x", "y"]),
        ("tags[1]", "y"),
        ("tags[-1]", "y"),
        ("sections[0].title", "One"),
        ("sections[0].notes[0]", "n"),
        ("sections[1].rows[0][1]", 2),
        ("odd[0]", "bracket"),
        ("none", None),
    ],
)
def test_paths(path: str, value: object) -> None:
    """Keys with dots between them, places in brackets; keys that hold a dot or a bracket are found as they are."""
    assert select(DOCUMENT, [path]) == {path: value}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("author.phone", "its 'author' has the fields: 'name', 'address', 'a.b'"),
        ("author.address.street", "its 'author.address' has the fields: 'city'"),
        ("author.name.first", "its 'author.name' is of type str"),
        ("sections.title", r"its 'sections' is a list of 2, whose items are named as in 'sections\[0\]'"),
        ("sections[2].title", "its 'sections' is a list of 2"),
        ("sections[0].text", r"its 'sections\[0\]' has the fields: 'title', 'notes'"),
        ("empty.x", r"its 'empty' has the fields: \(none\)"),
        ("none.x", "its 'none' is of type NoneType"),
        ("tags[x]", "its 'tags' is a list of 2"),
        ("tags[]", "its 'tags' is a list of 2"),
        ("title.", "its 'title' is of type str"),
        (".title", "its fields are: 'title'"),
        ("", "its fields are: 'title'"),
        (f"tags[{'9' * 30}]", "its 'tags' is a list of 2"),
    ],
)
def test_what_is_missing_is_named_as_far_as_it_goes(path: str, there: str) -> None:
    """The document, the field, the deepest part of its path that is there, and what that has."""
    with pytest.raises(DocumentError, match=r"documents\[1\] has no field .*; " + there) as caught:
        as_documents([{path: 1}, DOCUMENT], [path])
    assert repr(path) in str(caught.value)


def test_all_that_is_missing_is_named_at_once() -> None:
    """Each field, and each place once."""
    with pytest.raises(DocumentError) as caught:
        select({"a": {"b": 1}}, ["x", "a.c", "y", "a.b"], "line 3")
    assert str(caught.value) == (
        "line 3 has no field 'x', 'a.c', 'y'; its fields are: 'a'; its 'a' has the fields: 'b'"
    )


@pytest.mark.property
@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4), st.data())
def test_any_value_of_a_tree_has_a_path(document: dict[str, object], data: st.DataObject) -> None:
    """Spelling out the way to any value finds it, unless a longer key takes the path's beginning."""
    path, value = "", document
    while isinstance(value, dict | list) and value and (not path or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(list(value if isinstance(value, dict) else range(len(value)))))
        path += f"[{key}]" if isinstance(value, list) else f".{key}" if path else key
        value = value[key]
    try:
        found = select(document, [path])[path]
    except DocumentError:
        assert any(set(key) & set(".[") for key in keys_of(document))
    else:
        assert found == value or any(set(key) & set(".[") for key in keys_of(document))


def keys_of(value: object) -> list[str]:
    if isinstance(value, list):
        return [key for item in value for key in keys_of(item)]
    return [*value, *(key for item in value.values() for key in keys_of(item))] if isinstance(value, dict) else []


def test_fields_of_a_ranking(bundled: Reranker) -> None:
    """What the model reads is named by the paths, in their order; the caller's documents come back as they are."""
    documents = [
        {"title": "Snakes", "meta": {"lang": "en", "by": [{"name": "Ada"}]}, "body": "Pythons are snakes."},
        {"title": "Python", "meta": {"lang": "en", "by": [{"name": "Guido"}]}, "body": "A language, made in 1991."},
    ]
    ranking = bundled.rank("who made the language Python", documents, fields=["title", "meta.by[0].name", "body"])
    assert ranking[0].document is documents[1]
    assert ranking[0].text == "title: Python\nmeta.by[0].name: Guido\nbody: A language, made in 1991."
