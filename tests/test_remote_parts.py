"""The parts of a remote reranker that are pure: splitting, waiting, breaking, merging, keys, costs."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.errors import UsageError
from crossrank.remote import Limits, Price, Retry
from crossrank.remote.breaker import Breaker
from crossrank.remote.costs import AS_OF, PRICES, price_of
from crossrank.remote.keys import find_key
from crossrank.remote.limits import split, tokens_of
from crossrank.remote.merge import by_text
from crossrank.remote.reading import BodyError, read_bounded
from crossrank.remote.retry import asked_s
from crossrank.remote.vendors import VENDORS
from crossrank.wire import Answer, Item, WireError

bounds = st.none() | st.integers(1, 40)


@pytest.mark.property
@given(
    st.text(max_size=9),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=30),
    st.builds(
        Limits, documents_max=bounds, tokens_max=bounds, document_tokens_max=bounds, bytes_max=st.integers(1, 3000)
    ),
)
def test_splitting_keeps_to_the_limits(query: str, texts: list[str], limits: Limits) -> None:
    """Each text once and in order; no call above a limit except of a single text; no two calls that fit into one."""
    parts = split(query, texts, limits)
    assert [i for part in parts for i in part] == list(range(len(texts)))

    def fits(part: range) -> bool:
        tokens = sum(min(tokens_of(query) + tokens_of(texts[i]), limits.document_tokens_max or 10**9) for i in part)
        return (
            len(part) <= (limits.documents_max or 10**9)
            and tokens <= (limits.tokens_max or 10**9)
            and sum(len(texts[i].encode()) for i in part) <= (limits.bytes_max or 10**9)
        )

    assert all(len(part) == 1 or fits(part) for part in parts)
    if limits.bytes_max is None:
        assert not any(fits(range(a.start, b.start + 1)) for a, b in pairwise(parts))


def test_every_vendors_limits_are_kept() -> None:
    """2,500 documents, in as few calls as the vendor allows."""
    texts = ["a few words of text"] * 2_500
    for vendor in VENDORS.values():
        parts = split("query", texts, vendor.limits)
        most = vendor.limits.documents_max or 2_500
        assert len(parts) == -(-2_500 // most), vendor.name
    assert VENDORS["pinecone"].limits_of("cohere-rerank-3.5").documents_max == 200
    assert VENDORS["voyage"].limits_of("rerank-2-lite").document_tokens_max == 8_000
    assert VENDORS["voyage"].limits_of("rerank-2.5-lite").document_tokens_max == 32_000
    assert VENDORS["voyage"].limits_of("rerank-9").documents_max == 1_000
    assert len(split("q" * 3000, ["t" * 60_000] * 60, VENDORS["voyage"].limits)) == 3


NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 00:00:07 GMT"}, 7),
        ({"retry-after": "Thu, 19 Nov 2026 00:00:07 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
        ({"x-ratelimit-reset": "3"}, 3),
        ({"x-ratelimit-reset": str(NOW + 4)}, 4),
        ({"x-ratelimit-reset": str((NOW + 4) * 1000)}, 4),
        ({"retry-after": "never", "x-ratelimit-reset": "3"}, 3),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """In each form; the most exact one counts."""
    assert asked_s(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_waits_grow_and_have_jitter() -> None:
    """Within their bounds; what is asked for is kept to, unless it is too long."""
    retry = Retry(retries=9)
    longest = [retry.wait_s(tried, None, lambda: 1.0) for tried in range(1, 11)]
    assert longest == [0.5, 1, 2, 4, 8, 8, 8, 8, 8, None]
    assert retry.wait_s(1, None, lambda: 0.0) == 0.25
    assert retry.wait_s(1, 3.0, lambda: 0.0) == 3.0
    assert retry.wait_s(1, 3.0, lambda: 1.0) == pytest.approx(3.3)
    assert retry.wait_s(1, 61.0) is None
    assert Retry(retries=0).wait_s(1, 0.0) is None
    assert len({retry.wait_s(5, None) for _ in range(9)}) > 1


def test_the_breaker_opens_tries_and_closes() -> None:
    """After enough failures in a row; one try decides when its time is over."""
    now = [0.0]
    breaker = Breaker(failures_max=2, open_s=10, clock=lambda: now[0])
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.blocked_s() == 0
    breaker.failed()
    assert breaker.blocked_s() == 10
    now[0] = 10.0
    assert breaker.blocked_s() == 0
    assert breaker.blocked_s() == 10
    breaker.failed()
    now[0] = 15.0
    assert breaker.blocked_s() == 5
    breaker.succeeded()
    assert breaker.blocked_s() == 0


def test_answers_find_their_texts_by_index() -> None:
    """Exactly one for each; whatever else is an error that says which."""
    found = by_text(Answer((Item(1, 0.5), Item(0, 0.1))), ["a", "b"])
    assert {text: item.score for text, item in found.items()} == {"a": 0.1, "b": 0.5}
    for items, words in (
        ([Item(2, 0.5)], "index 2 is out of range: 2 documents were sent"),
        ([Item(-1, 0.5)], "index -1 is out of range"),
        ([Item(0, 0.5), Item(0, 0.5)], "index 0 comes twice"),
        ([], "no result for index 0, 1 of 2"),
    ):
        with pytest.raises(WireError, match=words):
            by_text(Answer(tuple(items)), ["a", "b"])
    with pytest.raises(WireError, match="index 0, 1, 2, 3, 4 and 5 more of 10"):
        by_text(Answer(()), [str(i) for i in range(10)])


def test_a_key_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the first variable that is set counts."""
    monkeypatch.setenv("A_KEY", " ")
    monkeypatch.setenv("B_KEY", "sk-1 ")
    key = find_key(None, ("A_KEY", "B_KEY"))
    assert key is not None
    assert key.reveal() == "sk-1"
    assert "sk-1" not in f"{key} {key!r} {[key]}"
    assert key.hide("bad key sk-1.") == "bad key ***."
    with pytest.raises(UsageError):
        pickle.dumps(key)
    assert find_key(None, ("A_KEY",)) is None


def test_prices() -> None:
    """The longest name that fits; nothing where it is not known; the table says when it was right."""
    assert price_of("voyage", "rerank-2.5-lite") == Price(tokens_1m=0.02)
    assert price_of("voyage", "rerank-2.5") == Price(tokens_1m=0.05)
    assert price_of("cohere", "rerank-v9") is None
    assert price_of("acme", None) is None
    assert Price(search_units_1k=2.0).nanousd(search_units=1, tokens=None) == 2_000_000
    assert Price(tokens_1m=0.05).nanousd(search_units=None, tokens=26) == 1_300
    assert Price(tokens_1m=0.05).nanousd(search_units=1, tokens=None) is None
    assert Price().nanousd(search_units=1, tokens=1) is None
    assert set(PRICES) <= set(VENDORS)
    assert datetime.fromisoformat(AS_OF)


def test_reading_stops_at_its_bound() -> None:
    """Before more than that is held."""
    taken = []

    async def chunks() -> AsyncIterator[bytes]:
        for i in range(100):
            taken.append(i)
            yield b"x" * 10

    with pytest.raises(BodyError, match="larger than 25"):
        asyncio.run(read_bounded(chunks(), "", 25))
    assert len(taken) == 3
