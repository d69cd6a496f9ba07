"""The vendor that `crossrank.testing` has: as applications use it, with what can go wrong, and how it ends."""

import json
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from urllib.parse import urlsplit

import pytest

import crossrank.testing
from crossrank import Reranker
from crossrank.errors import UsageError
from crossrank.remote import Retry, VendorError
from crossrank.remote.vendors import VENDORS
from crossrank.testing import FakeVendor, Fault, shared_letters
from crossrank.wire import DIALECTS, Call
from vendors import opened

BOUND_S = 60  # no wait of a test may be longer
QUERY, DOCUMENTS = "ab", ["c", "a", "ab"]


def post(vendor: FakeVendor, body: bytes, path: str | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection = HTTPConnection(urlsplit(vendor.url).netloc, timeout=BOUND_S)
    try:
        connection.request("POST", path or vendor.dialect.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def threads_of_vendors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "crossrank-fake" in thread.name]


@pytest.mark.parametrize("name", VENDORS)
def test_each_vendor_is_there_by_its_name(name: str) -> None:
    """What a Reranker asks is ranked by the score, is noted with the key it came with, and needs no real key."""
    with FakeVendor(name, score=lambda query, text: len(text) / 10) as vendor:
        reranker = Reranker(f"{name}:some-model", base_url=vendor.url, api_key="any")
        ranking = reranker.rank(QUERY, ["one", "fourth", "some"])
        reranker.close()
    assert ranking.indices == [1, 2, 0]
    assert ranking.scores == [0.6, 0.4, 0.3]
    call = vendor.await_call(BOUND_S)
    assert [call] == vendor.calls
    assert (call.query, call.documents) == (QUERY, ("one", "fourth", "some"))
    sent = vendor.requests[-1]
    assert "any" in (sent.headers.get("authorization", "") + sent.headers.get("api-key", ""))
    assert vendor.dialect.parse_call(sent.body) == sent.call


@pytest.mark.parametrize("name", ["tei", "vllm", "llamacpp", "infinity", "crossrank"])
def test_a_server_says_what_it_is(name: str) -> None:
    """So its address alone is enough."""
    with FakeVendor(name) as vendor, Reranker(vendor.url) as reranker:
        assert reranker.rank(QUERY, DOCUMENTS).indices == [2, 1, 0]


@pytest.mark.parametrize("name", ["cohere", "cohere-v1", "jina", "voyage", "mixedbread", "together"])
def test_other_clients_may_ask_too(name: str) -> None:
    """At most as many results as they want, best first, with the documents where they want those."""
    dialect = DIALECTS[name]
    asked = Call(QUERY, ("c", "a", "ab"), "m", top_n=2, return_documents="return_documents" in dialect.calls)
    with FakeVendor(name) as vendor:
        status, body = post(vendor, dialect.dump_call(asked))
    assert status == 200
    items = dialect.parse_ranking(body).items
    assert [(item.index, item.score) for item in items] == [(2, 1.0), (1, 0.5)]
    assert [item.document for item in items] == (["ab", "a"] if asked.return_documents else [None, None])


def test_the_default_score_can_be_predicted() -> None:
    """The share of the query's letters that the text has; of fields, that any of them has."""
    assert shared_letters("abcd", "xaby") == 0.5
    assert shared_letters("", "a") == 0
    with FakeVendor("together") as vendor, opened(vendor, "together:m") as reranker:
        ranking = reranker.rank("abcd", [{"t": "a", "u": "b"}, {"t": "abc", "u": ""}], fields=["t", "u"])
    assert ranking.scores == [0.75, 0.5]


@pytest.mark.parametrize("name", DIALECTS)
def test_failures_are_in_the_vendor_s_words(name: str) -> None:
    """A status alone is an error as the vendor writes it, with a message of one's own or that of the status."""
    with FakeVendor(name) as vendor, opened(vendor, f"{name}:m", retry=Retry(retries=0)) as reranker:
        vendor.faults.extend([Fault(400, message="too much of it"), Fault(429, retry_after_s=2.5)])
        with pytest.raises(VendorError, match="400: too much of it"):
            reranker.rank(QUERY, DOCUMENTS)
        with pytest.raises(VendorError, match="429: Too Many Requests") as caught:
            reranker.rank(QUERY, DOCUMENTS)
        assert caught.value.retry_after_s == 2.5
        assert reranker.rank(QUERY, DOCUMENTS).indices == [2, 1, 0]
    assert len(vendor.calls) == 3


def test_a_slow_answer_is_right_all_the_same() -> None:
    """It comes when its time is over, not before."""
    with FakeVendor() as vendor, opened(vendor) as reranker:
        vendor.faults.append(Fault(wait_s=0.05))
        started = time.perf_counter()
        assert reranker.rank(QUERY, DOCUMENTS).indices == [2, 1, 0]
        assert time.perf_counter() - started >= 0.05


def test_what_is_no_call_is_refused() -> None:
    """Another path, another body, another key, each as a vendor would; GET of a page that is not there too."""
    body = DIALECTS["cohere"].dump_call(Call(QUERY, ("a",), "m"))
    with FakeVendor("cohere", key="right", pages={"/info": [1]}) as vendor:
        assert post(vendor, body, authorization="Bearer right")[0] == 200
        assert post(vendor, body, "/gate/v2/rerank", authorization="Bearer right")[0] == 200
        assert post(vendor, body, authorization="Bearer wrong")[0] == 401
        assert post(vendor, body)[0] == 401
        assert post(vendor, body, "/v2/chat")[0] == 404
        assert post(vendor, b"{}")[0] == 400
        connection = HTTPConnection(urlsplit(vendor.url).netloc, timeout=BOUND_S)
        connection.request("GET", "/info")
        assert json.loads(connection.getresponse().read()) == [1]
        connection.request("GET", "/nope")
        assert connection.getresponse().status == 404
        connection.close()
    assert [request.call is not None for request in vendor.requests] == [True] * 4 + [False] * 4
    assert [request.method for request in vendor.requests] == ["POST"] * 6 + ["GET"] * 2
    with pytest.raises(UsageError, match="'acme' names no vendor that is known; the names are: cohere, voyage"):
        FakeVendor("acme")


def test_a_score_that_raises_is_told_to_whoever_asks() -> None:
    """In words, and not only in a thread's traceback."""

    def score(query: str, text: str) -> float:
        return {"a": 1.0}[text]

    with FakeVendor(score=score) as vendor, opened(vendor, retry=Retry(retries=0)) as reranker:
        with pytest.raises(VendorError, match=r"score= failed: KeyError\('b'\)"):
            reranker.rank(QUERY, ["a", "b"])
        assert reranker.rank(QUERY, ["a"]).scores == [1.0]
    with (
        FakeVendor(score=lambda query, text: math.nan) as vendor,
        opened(vendor) as reranker,
        pytest.raises(VendorError, match="not a finite number"),
    ):
        reranker.rank(QUERY, ["a"])


def test_many_ask_at_a_time() -> None:
    """Each gets its own answer, each fault goes to one call, and nothing is noted twice."""
    patient = Retry(retries=20, first_s=0.001, longest_s=0.001)  # one call may meet them all
    with (
        FakeVendor() as vendor,
        opened(vendor, cache=None, retry=patient) as reranker,
        ThreadPoolExecutor(16) as threads,
    ):
        vendor.faults.extend([Fault(503)] * 20)
        rankings = list(threads.map(lambda i: reranker.rank(f"q{i}", ["zz", f"q{i}"]), range(100)))
    assert all(ranking.query == f"q{i}" and ranking.indices == [1, 0] for i, ranking in enumerate(rankings))
    assert sum(ranking.usage["retries"] for ranking in rankings) == 20
    assert len(vendor.calls) == 120
    assert sorted({call.query for call in vendor.calls}) == sorted(f"q{i}" for i in range(100))


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(wait_s=10 * BOUND_S), Fault(trickle=True), Fault()], ids=str)
def test_it_ends_with_calls_under_way(fault: Fault) -> None:
    """At once; whoever still waits is hung up on, an idle connection is closed, and no thread is left."""
    before = {*threading.enumerate()}  # of other tests; some of them may end meanwhile
    vendor = FakeVendor()
    vendor.faults.append(fault)
    connection = HTTPConnection(urlsplit(vendor.url).netloc, timeout=BOUND_S)
    connection.request("POST", "/v2/rerank", vendor.dialect.dump_call(Call(QUERY, ("a",), "m")))
    vendor.await_call(BOUND_S)
    assert len(threads_of_vendors()) == 2
    if fault == Fault():
        connection.getresponse().read()
    started = time.monotonic()
    vendor.close()
    vendor.close()
    assert time.monotonic() - started < BOUND_S / 2
    if fault.hang or fault.wait_s:
        with pytest.raises(RemoteDisconnected):
            connection.getresponse()
    connection.close()
    assert threads_of_vendors() == []
    assert {*threading.enumerate()} <= before
    with pytest.raises(ConnectionRefusedError):
        post(vendor, b"")


def test_waiting_for_a_call_has_a_bound() -> None:
    """And says so."""
    with FakeVendor() as vendor, pytest.raises(TimeoutError, match=r"no call came within 0\.01 s"):
        vendor.await_call(0.01)


def test_the_rest_of_it_needs_no_extra() -> None:
    """Only the vendor, whose absence is told with the pip command."""
    program = """
import sys
sys.modules["msgspec"] = None
from crossrank.testing import FakeBackend, tiny_checkpoint
from crossrank.errors import MissingExtra
try:
    from crossrank.testing import FakeVendor
except MissingExtra as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert "pip install 'crossrank[remote]'" in done.stdout
    assert set(crossrank.testing.__all__) <= set(dir(crossrank.testing))
    assert not hasattr(crossrank.testing, "FakeVndor")
