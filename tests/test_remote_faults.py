"""Whatever a server does, a call ends in the right answer or in our error that says what was wrong, within its time."""

import asyncio
import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest

from crossrank import Ranking
from crossrank.errors import CrossrankError, DeadlineError, RemoteError
from crossrank.remote import RemoteReranker, Retry, VendorError
from crossrank.remote.breaker import Breaker
from crossrank.testing import FakeVendor, Fault
from ports import refusing
from vendors import PATIENCE_S

KEY = "sk-very-secret"
LONG_AGO = 1_600_000_000
QUICK = Retry(first_s=0.001, longest_s=0.002)
DOCUMENTS = ["zebra", "who", "who created python", "python"]
BEST_FIRST = [2, 3, 1, 0]


@pytest.fixture
def server() -> Iterator[FakeVendor]:
    with FakeVendor("cohere", key=KEY) as server:
        yield server


@pytest.fixture
def reranker(server: FakeVendor) -> Iterator[RemoteReranker]:
    options = {"api_key": KEY, "base_url": server.url, "retry": QUICK, "timeout_s": PATIENCE_S}
    with RemoteReranker("cohere:m", **options) as reranker:
        yield reranker


def ask(reranker: RemoteReranker, **options: float) -> Ranking:
    return reranker.rank("who created python", DOCUMENTS, **options)


def refusal(reranker: RemoteReranker, **options: float) -> VendorError:
    """The error that a call ends in."""
    with pytest.raises(VendorError) as caught:
        ask(reranker, **options)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    return caught.value


HEADERS = [
    {"Retry-After": "0"},
    {"Retry-After": "0.001"},
    {"Retry-After-Ms": "1"},
    {"Retry-After": formatdate(LONG_AGO, usegmt=True)},
    {"X-RateLimit-Reset": "0.001"},
    {"X-RateLimit-Reset": str(LONG_AGO)},
    {"Retry-After": "soon"},
    {},
]


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_a_429_is_waited_out(server: FakeVendor, reranker: RemoteReranker, headers: dict[str, str]) -> None:
    """In each form that a server may ask to wait."""
    server.faults.append(Fault(429, headers, b'{"message": "slow down"}'))
    ranking = ask(reranker)
    assert ranking.indices == BEST_FIRST
    assert ranking.usage["retries"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, body=b"oops"),
        Fault(502, body=b"<html>Bad Gateway</html>"),
        Fault(503, body=b"{}"),
        Fault(504),
        Fault(drop=True),
        Fault(cut=5),
    ],
    ids=str,
)
def test_what_passes_is_tried_again(server: FakeVendor, reranker: RemoteReranker, fault: Fault) -> None:
    """Twice a server's failure, then success: the right answer."""
    server.faults.extend([fault, fault])
    ranking = ask(reranker)
    assert ranking.indices == BEST_FIRST
    assert ranking.usage["retries"] == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 408, 409, 413, 415, 422, 498, 499, 501, 505])
def test_a_refusal_is_not_tried_again(server: FakeVendor, reranker: RemoteReranker, status: int) -> None:
    """The caller's mistake costs one request, and the error names vendor, status, request id and what to do."""
    server.faults.append(Fault(status, {"X-Request-Id": "req-7"}, b'{"message": "no such thing"}'))
    error = refusal(reranker)
    assert len(server.requests) == 1
    assert (error.vendor, error.status, error.request_id) == ("Cohere", status, "req-7")
    assert str(error).startswith(f"Cohere answered {status}: no such thing (request id req-7). ")
    assert len(str(error).partition("req-7). ")[2]) > 20


def test_a_wrong_key_says_where_the_key_comes_from(server: FakeVendor) -> None:
    """And does not show it, though the server does."""
    words = r"401: invalid api token \*\*\* .*Set COHERE_API_KEY"
    with RemoteReranker("cohere:m", api_key="sk-wrong", base_url=server.url) as reranker:
        with pytest.raises(VendorError, match=words) as caught:
            ask(reranker)
        assert "sk-wrong" not in repr(reranker)
    assert "sk-wrong" not in str(caught.value)
    assert caught.value.request_id == "request-1"


def test_a_server_that_stays_broken_is_an_error_after_three_tries(server: FakeVendor, reranker: RemoteReranker) -> None:
    """The first try and two more."""
    server.faults.extend([Fault(503, body=b'{"message": "starting"}')] * 3)
    error = refusal(reranker)
    assert "503 after 3 tries: starting" in str(error)
    assert "fallback=" in str(error)
    assert isinstance(error, ConnectionError)


def test_no_wait_is_longer_than_the_deadline(
    server: FakeVendor, reranker: RemoteReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for more than there is, or than is sensible, is an error at once, with its wish in it."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("crossrank.remote.client.asyncio.sleep", sleep)
    server.faults.append(Fault(429, {"Retry-After": "55"}))
    started = time.monotonic()
    error = refusal(reranker, deadline_s=50)
    assert error.retry_after_s == 55
    server.faults.append(Fault(429, {"Retry-After": "3600"}))
    assert refusal(reranker).retry_after_s == 3600
    assert time.monotonic() - started < 50
    assert waits == []
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(trickle=True)], ids=str)
def test_a_hang_ends_with_the_timeout(server: FakeVendor, fault: Fault) -> None:
    """Of each try, whether nothing comes or too little."""
    options = {"api_key": KEY, "base_url": server.url, "timeout_s": PATIENCE_S}
    with RemoteReranker("cohere:m", retry=Retry(retries=1, first_s=0.001), **options) as reranker:
        reranker.rank("what is opened first", ["takes its time"])
        client = reranker._worker.opened()[1]._client
        server.faults.extend([fault, fault])
        client._timeout_s = 0.5
        assert "did not answer within 0.5 s (tries: 2)" in str(refusal(reranker))
        client._timeout_s = PATIENCE_S  # whether a right answer takes as long is not asked here
        server.faults.clear()  # of tries that ended before they were sent
        assert ask(reranker).indices == BEST_FIRST


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(trickle=True)], ids=str)
def test_a_hang_ends_with_the_deadline(server: FakeVendor, reranker: RemoteReranker, fault: Fault) -> None:
    """There being nothing to return, it is a DeadlineError."""
    server.faults.append(fault)
    with pytest.raises(DeadlineError, match="Cohere"):
        ask(reranker, deadline_s=0.1)
    with pytest.raises(DeadlineError, match="Cohere"):
        ask(reranker, deadline_s=0)


def gzipped(body: bytes) -> Fault:
    """A packed answer that nobody asked for."""
    return Fault(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})


NONSENSE = {
    "html": (Fault(body=b"<html>It works!</html>"), "not JSON"),
    "empty": (Fault(body=b""), "not JSON"),
    "half": (Fault(change=lambda body: body[: len(body) // 2]), "not JSON"),
    "null": (Fault(body=b"null"), "Expected `object`"),
    "list": (Fault(body=b"[]"), "Expected `object`"),
    "no results": (Fault(body=b'{"data": []}'), "missing required field `results`"),
    "nested": (Fault(body=b'{"results": ' + b"[" * 50_000), "not JSON|Expected"),
    "duplicate": (Fault(items=lambda items: [*items, items[0]]), "index 2 comes twice"),
    "doubled instead": (Fault(items=lambda items: [*items[:-1], items[0]]), "index 2 comes twice"),
    "missing": (Fault(items=lambda items: items[1:]), "no result for index 2 of 4 documents"),
    "none": (Fault(items=lambda items: []), "no result for index 0, 1, 2, 3 of 4"),
    "beyond": (Fault(items=lambda items: [replace(i, index=i.index + 1) for i in items]), "index 4 is out of range: 4"),
    "negative": (Fault(items=lambda items: [replace(i, index=i.index - 1) for i in items]), "index -1 is out of range"),
    "string index": (Fault(change=lambda body: body.replace(b'"index":0', b'"index":"0"')), "Expected `int`"),
    "NaN": (Fault(change=lambda body: body.replace(b":1.0", b":NaN")), "not JSON"),
    "NaN as null": (
        Fault(change=lambda body: body.replace(b":1.0", b":null")),
        r"results\[0\].relevance_score is None",
    ),
    "infinity": (Fault(change=lambda body: body.replace(b":1.0", b":1e999")), "out of range"),
    "string score": (Fault(change=lambda body: body.replace(b":1.0", b':"1.0"')), "Expected `float"),
    "large": (Fault(body=b" " * 5_000_000), "larger than"),
    "bomb": (gzipped(b" " * 50_000_000), "larger than"),
    "no gzip": (Fault(body=b"plain", headers={"Content-Encoding": "gzip"}), "is no gzip"),
    "half a gzip": (Fault(body=gzip.compress(b"{}" * 99)[:-9], headers={"Content-Encoding": "gzip"}), "in the middle"),
    "brotli": (Fault(body=b"x", headers={"Content-Encoding": "br"}), "'br'"),
}


@pytest.mark.parametrize(("fault", "words"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_an_error_in_words(server: FakeVendor, reranker: RemoteReranker, fault: Fault, words: str) -> None:
    """Never a ranking, never a traceback of a library; and it is paid for once."""
    server.faults.append(fault)
    with pytest.raises(VendorError, match=words) as caught:
        ask(reranker)
    assert str(caught.value).startswith("Cohere answered 200, but the body ") or "cannot be a ranking" in str(
        caught.value
    )
    assert len(server.requests) == 1
    assert ask(reranker).indices == BEST_FIRST


@pytest.mark.parametrize(
    "fault",
    [
        Fault(items=lambda items: items[::-1]),
        Fault(items=lambda items: sorted(items, key=lambda item: item.index)),
        Fault(headers={"Content-Type": "text/plain"}),
    ],
)
def test_order_is_ours(server: FakeVendor, reranker: RemoteReranker, fault: Fault) -> None:
    """Results find their documents by index, whatever order they come in."""
    server.faults.append(fault)
    assert ask(reranker).indices == BEST_FIRST


def test_a_packed_answer_is_unpacked(server: FakeVendor, reranker: RemoteReranker) -> None:
    """Though none was asked for."""
    right = [{"index": i, "relevance_score": i / 9} for i in range(4)]
    server.faults.append(gzipped(json.dumps({"results": right}).encode()))
    assert ask(reranker).indices == [3, 2, 1, 0]
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_carry_the_key_away(server: FakeVendor, reranker: RemoteReranker, status: int) -> None:
    """Nor the documents: it is an error that names where it leads, without what stands before the @ in it."""
    with FakeVendor("cohere") as elsewhere:
        target = elsewhere.url.replace("127", "user:pass@127") + "/v2/rerank"
        server.faults.append(Fault(status, {"Location": target}, b""))
        error = refusal(reranker)
        assert elsewhere.requests == []
    assert f"redirect to {elsewhere.url}, which is not followed" in str(error)
    assert "pass" not in str(error)


def test_a_refused_connection_is_an_error() -> None:
    """With the address, and what to do."""
    with (
        refusing() as address,
        RemoteReranker("cohere:m", api_key=KEY, base_url=f"http://{address}", retry=QUICK) as reranker,
    ):
        words = str(refusal(reranker))
    assert words.startswith(f"Cohere cannot be reached at http://{address} after 3 tries: ")
    assert "Check base_url=" in words


@pytest.mark.parametrize("host", ["xn--\u00fc", "a" * 300, "..", "%00"])
def test_a_host_that_cannot_be_is_an_error(host: str) -> None:
    """Ours, whoever of the libraries finds out."""
    with pytest.raises(CrossrankError), RemoteReranker("vllm:m", base_url=f"http://{host}", retry=QUICK) as reranker:
        ask(reranker)


def test_a_host_that_does_not_resolve_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is asked for once."""
    tried = []

    def unknown(host: str, *_: object, **__: object) -> None:
        tried.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with RemoteReranker("cohere:m", api_key=KEY, base_url="http://no.such.host.invalid", retry=QUICK) as reranker:
        assert "the host of http://no.such.host.invalid does not resolve" in str(refusal(reranker))
    assert len(tried) == 1


def test_a_certificate_that_is_not_trusted_is_an_error(tmp_path: Path) -> None:
    """TLS is on, and nothing was sent."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([openssl, *made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)

        def refuse() -> None:
            connection, _ = listening.accept()
            connection.settimeout(PATIENCE_S)
            with connection, pytest.raises(OSError):
                context.wrap_socket(connection, server_side=True).recv(1)

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with RemoteReranker("cohere:m", api_key=KEY, base_url=url, retry=QUICK) as reranker:
            error = refusal(reranker)
        thread.join()
    assert "TLS with https://127.0.0.1" in str(error)
    assert "SSL_CERT_FILE" in str(error)


def test_cancelling_ends_the_call(server: FakeVendor, reranker: RemoteReranker) -> None:
    """A cancelled arank() ends at once, and the reranker goes on working."""
    server.faults.append(Fault(hang=True))

    async def cancelled() -> Ranking:
        task = asyncio.create_task(reranker.arank("who created python", DOCUMENTS))
        await asyncio.to_thread(server.await_call, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await reranker.arank("who created python", DOCUMENTS)

    assert asyncio.run(cancelled()).indices == BEST_FIRST


def test_the_breaker_leaves_a_dead_server_alone(server: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many failures in a row, calls fail at once instead of being sent."""
    monkeypatch.setattr("crossrank.remote.client.Breaker", partial(Breaker, clock=lambda: 0.0))  # no second passes
    server.faults.extend([Fault(500)] * 100)
    with RemoteReranker("cohere:m", api_key=KEY, base_url=server.url, retry=Retry(retries=0)) as reranker:
        messages = [str(refusal(reranker)) for _ in range(30)]
    assert "nothing is sent to it" in messages[-1]
    assert len(server.requests) == 24


def test_the_key_is_in_no_log(server: FakeVendor, reranker: RemoteReranker, caplog: pytest.LogCaptureFixture) -> None:
    """At no level, of any library."""
    caplog.set_level(logging.DEBUG)
    server.faults.append(Fault(500))
    ask(reranker)
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize("calls", [1, 8])
def test_every_fault_ends_in_an_answer_or_our_error(server: FakeVendor, calls: int) -> None:
    """All of them one after the other, alone and together: right order or a CrossrankError, within the deadline."""
    faults = [
        *(fault for fault, _ in NONSENSE.values()),
        Fault(500),
        Fault(429),
        Fault(drop=True),
        Fault(hang=True),
        Fault(cut=3),
    ]
    server.faults.extend(faults * 3)
    options = {"api_key": KEY, "base_url": server.url, "cache": None, "timeout_s": 0.5}

    async def one(reranker: RemoteReranker) -> None:
        try:
            ranking = await reranker.arank("who created python", DOCUMENTS, deadline_s=5)
        except (RemoteError, DeadlineError):
            return
        assert ranking.indices == BEST_FIRST

    async def everyone() -> None:
        async with RemoteReranker("cohere:m", retry=QUICK, **options) as reranker:
            for _ in range(len(faults) * 3 // calls + 1):
                await asyncio.gather(*(one(reranker) for _ in range(calls)))

    asyncio.run(everyone())
