"""Rendered values are, character for character, the YAML that PyYAML writes of them, in a small part of its time."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from crossrank.documents.rendering import dump

CONTROL = {*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF, 0x10FFFF}
SPACES = dict.fromkeys(CONTROL, " ")
TEXT = (
    st.text(max_size=30)
    | st.text(alphabet="ab:# -?'\"\\,[]{}&*!|>%@`.~=<\n\r\t\u3000é北😀", max_size=12)
    | st.sampled_from(
        ["yes", "No", "null", "~", "", "1_000", "0x1f", "1:30", "2024-05-01", "<<", "=", ".inf", "1e3", "---"]
    )
    | st.text(alphabet="ab '", min_size=100, max_size=140)
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.datetimes(timezones=st.just(UTC)) | TEXT
)
KEYS = (
    TEXT.filter(lambda text: max(text, default="") <= "\uffff")
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.dates()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)


class Reference(yaml.SafeDumper):
    """PyYAML without anchors, with text cleaned, and in the style that says it best."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def represent(dumper: Any, text: str) -> yaml.ScalarNode:
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(SPACES)
    text = "\n".join([*(line.rstrip(" ") for line in text.split("\n")[:-1]), text.split("\n")[-1]]).strip()
    tag = "tag:yaml.org,2002:str"
    plain = (
        dumper.analyze_scalar(text).allow_block_plain and dumper.resolve(yaml.ScalarNode, text, (True, False)) == tag
    )
    return dumper.represent_scalar(tag, text, style="|" if "\n" in text or ("'" in text and not plain) else None)


Reference.add_representer(str, represent)


def reference(document: dict[Any, Any]) -> str:
    options = {"sort_keys": False, "allow_unicode": True, "default_flow_style": False, "width": 2**31}
    return yaml.dump(document, Dumper=Reference, **options).rstrip("\n")


@pytest.mark.property
@given(st.dictionaries(KEYS, VALUES, max_size=5))
@example({"it's: a": "it's: b", "a\nb": {"c": [1]}, "k" * 122: 1, "k" * 123: [[], {}, [1, [2]]], "": "'"})
@example({"t": [["a\n b", {"x": "y: z", "l": ["m"]}], {"n": [{"o": 1}]}], "": {"p": "q\n\nr"}, "e": {}, "f": []})
@example({"\U0010ffff": "a \n b\t\n", "- ": "?", "-": "? a", "?a": "-a", ":": ":a", "a:": "#", "a #": "a# b"})
def test_the_text_is_that_of_pyyaml(document: dict[Any, Any]) -> None:
    """Any mapping of any scalars, lists and mappings: all styles of text, short and long keys."""
    assert dump(document) == reference(document)


def test_quoted_keys_have_no_escapes() -> None:
    """PyYAML would write `\\U0001f600` in a key that needs quotes and has an apostrophe."""
    assert dump({"it's: 😀": 1}) == '"it\'s: 😀": 1'


def test_no_tags_for_times_that_yaml_cannot_name() -> None:
    """PyYAML would write `!!timestamp` before an offset with seconds; a model is better off without."""
    odd = datetime(1890, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=53, seconds=28)))
    assert dump({"since": odd, "day": date(1890, 1, 1)}) == "since: 1890-01-01 00:00:00+05:53:28\nday: 1890-01-01"


def seconds(text: str) -> float:
    """Of this thread's work: how long it waits for its turn is another matter."""
    started = time.thread_time()
    dump({"title": "x", "text": text})
    return time.thread_time() - started


@pytest.mark.parametrize(
    "text", ["word " * 4, "a: b #c\n", " " * 20, "it's \n \n"], ids=["plain", "block", "spaces", "breaks"]
)
def test_time_grows_with_length_only(text: str) -> None:
    """Eight times the text takes about eight times as long, where a quadratic step would take 64 times."""
    short, long = (text * (characters // len(text)) for characters in (1_000_000, 8_000_000))
    assert min(seconds(long) for _ in range(2)) < 32 * min(seconds(short) for _ in range(3))
