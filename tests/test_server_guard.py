"""What stands before the models: limits, room, time; and who hangs up is not worked for."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import call_of
from crossrank.errors import DeadlineError, ModelError, NotFiniteError, OverloadError, RemoteError, UsageError
from crossrank.remote.failures import VendorError
from crossrank.server.guard import Pace
from crossrank.server.routes import CALLS
from crossrank.server.settings import MB
from serving import WAIT_S, Answer, FakeRanker, Serving

CALL = {"query": "ab", "documents": ["a", "b"]}


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    """413 by what its headers say, and by what comes where they say nothing; the connection is closed.

    Who sends up to twice as much is read to the end: cut off while sending, it would not get to see the answer.
    """
    with Serving(body_mb_max=1) as server:
        answer = server.post("/v1/rerank", {"query": "q", "documents": ["x" * 1_100_000]})
        assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        answer = server.post("/tei/rerank", {"query": "q", "texts": ["x" * 1_100_000]})
        assert answer.status == 413
        assert isinstance(answer.json["error"], str)
        body = b" " * 1_900_000
        for sent in (
            b"content-length: 1900000\r\n\r\n" + body,
            b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        ):
            with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
                raw.sendall(b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\n" + sent)
                answer = b""
                while part := raw.recv(MB):  # a reset, where something was left unread, would be an error here
                    answer += part
                assert answer.startswith(b"HTTP/1.1 413")
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
            raw.sendall(
                b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n"
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 413")
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
            raw.sendall(b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            pieces = 0
            with suppress(BrokenPipeError, ConnectionResetError):
                while pieces < 1_000:  # an endless body: the answer comes long before that
                    raw.sendall(piece)
                    pieces += 1
        assert pieces < 1_000
        assert server.ranker.calls == []
        assert server.app.guard.bodies == 0


@pytest.mark.parametrize(
    ("limit", "body"),
    [
        ({"documents_max": 3}, {"query": "q", "documents": ["a"] * 4}),
        ({"tokens_max": 1_000}, {"query": "q" * 100, "documents": [""] * 50}),
        ({"tokens_max": 1_000}, {"query": "q", "documents": ["a" * 5_000]}),
    ],
)
def test_a_call_that_is_too_much_is_refused(limit: dict[str, int], body: dict[str, Any]) -> None:
    """Documents are counted, and tokens estimated, the query once a document."""
    with Serving(**limit) as server:
        answer = server.post("/v1/rerank", body)
        assert answer.status == 413
        assert "are taken" in answer.json["message"]
        assert server.post("/v1/rerank", CALL).status == 200
        assert len(server.ranker.calls) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_more_calls_than_there_is_room_for_are_refused_at_once(status: int) -> None:
    """With Retry-After; when one has gone the next is taken."""
    with Serving(calls_max=1, overload_status=status) as server, ThreadPoolExecutor(1) as pool:
        server.ranker.held = True
        first = pool.submit(server.post, "/v1/rerank", CALL)
        assert server.ranker.came.acquire(timeout=WAIT_S)
        answer = server.post("/v1/rerank", CALL)
        assert (answer.status, answer.headers["retry-after"]) == (status, "1")
        assert server.post("/tei/rerank", {"query": "q", "texts": ["a"]}).json["error_type"] == "Overloaded"
        assert server.get("/health").status == 200
        server.ranker.let_go()
        assert first.result().status == 200
        assert server.post("/v1/rerank", CALL).status == 200


def test_what_would_wait_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pace of what was done before, and the work that is there."""
    with Serving(queue_s=2.0) as server, ThreadPoolExecutor(1) as pool:
        guard = server.app.guard
        guard.pace.done, guard.pace.busy_s, guard.pace.since = 100.0, 10.0, time.monotonic()  # ten characters a second
        server.ranker.held = True
        first = pool.submit(server.post, "/v1/rerank", CALL)
        assert server.ranker.came.acquire(timeout=WAIT_S)
        answer = server.post("/v1/rerank", CALL)
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        server.ranker.let_go()
        assert first.result().status == 200


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0.1, 5)), min_size=1, max_size=20))
def test_a_steady_pace_is_known(works: list[tuple[int, float]]) -> None:
    """Work that takes a second for each hundred characters is foretold to take just that, whatever its parts."""
    now = 0.0
    pace = Pace(lambda: now)
    assert pace.wait_s(100) == 0.0
    for characters, idle in works:
        now += idle
        pace.begin()
        now += characters / 100
        pace.end(characters)
    assert 0.3 < pace.wait_s(100) < 3


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OverloadError("full", retry_after_s=2.3), 429, "overloaded"),
        (DeadlineError("late"), 504, "timeout"),
        (UsageError("no"), 400, "invalid_request"),
        (ModelError("gone"), 503, "unavailable"),
        (MemoryError(), 503, "unavailable"),
        (NotFiniteError("NaN"), 500, "internal_error"),
        (RuntimeError("secret text"), 500, "internal_error"),
        (RemoteError("x"), 503, "unavailable"),
        (VendorError.of("v", "slow down", status=429, retry_after_s=7), 429, "overloaded"),
        (VendorError.of("v", "bad", status=400), 400, "invalid_request"),
        (VendorError.of("v", "our key is wrong", status=401), 503, "unavailable"),
        (VendorError.of("v", "broken", status=500), 503, "unavailable"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/rerank", "/tei/rerank", "/voyage/v1/rerank"])
def test_failures_have_their_status(error: Exception, status: int, code: str, path: str) -> None:
    """In the dialect's shape; what nobody foresaw shows nothing of itself, and what may be tried again says when."""
    ranker = FakeRanker()
    with Serving(ranker) as server:
        ranker.raises = error
        answer = server.post(path, call_of(path))
        assert answer.status == status
        assert b"secret" not in answer.body
        assert b"our key" not in answer.body
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        if isinstance(error, OverloadError):
            assert answer.headers["retry-after"] == "3"
        if path == "/v1/rerank":
            assert answer.json["error"]["code"] == code
        ranker.raises = None
        assert server.post(path, call_of(path)).status == 200


def test_a_call_ends_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """504, and what is worked for it is cancelled, whether the ranker heeds the deadline or not."""
    with Serving(timeout_s=0.05) as server:
        server.ranker.held = True
        monkeypatch.setattr("crossrank.server.calls.GRACE_S", 0.05)
        answer = server.post("/v1/rerank", CALL)
        assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")
        assert server.ranker.cancelled.acquire(timeout=WAIT_S)
        assert server.app.guard.calls == 0


def test_documents_that_were_not_reached_in_time_are_no_answer() -> None:
    """A ranking cut short by its deadline is a 504, not one with nulls for scores."""

    class Late(FakeRanker):
        async def _wait(self) -> None:
            await super()._wait()
            self.unscored = frozenset({0})
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await asyncio.Event().wait()

    with Serving(Late(), timeout_s=0.01) as server:
        assert server.post("/v1/rerank", CALL).status == 504


def test_nobody_works_for_who_has_hung_up() -> None:
    """The ranker's call is cancelled, and the room is given back."""
    with Serving() as server:
        server.ranker.held = True
        raw = socket.create_connection(("127.0.0.1", server.port), WAIT_S)
        body = json.dumps(CALL).encode()
        head = f"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        raw.sendall(head + body)
        assert server.ranker.came.acquire(timeout=WAIT_S)
        raw.close()
        assert server.ranker.cancelled.acquire(timeout=WAIT_S)
        server.ranker.held = False
        assert server.post("/v1/rerank", CALL).status == 200
        assert server.app.guard.calls == 0
        assert b'crossrank_http_requests_total{route="/v1/rerank",status="499"} 1.0' in server.get("/metrics").body


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    """408 after the time to read, and headers that never end are cut off."""
    with Serving(read_s=0.2, lazy=True) as server:  # lazy: nobody asks for /ready, and may be too slow in doing so
        assert server.protocol.headers_s == 0.2
        server.protocol.headers_s = WAIT_S
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
            raw.sendall(b'POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"query"')
            assert raw.recv(100).startswith(b"HTTP/1.1 408")
        server.protocol.headers_s = 0.2
        for begun in (b"", b"POST /v1/rerank HTTP/1.1\r\nhost:"):
            with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw, suppress(ConnectionResetError):
                raw.sendall(begun)  # whose sender is slower than that gets a reset
                assert raw.recv(100) == b""
        assert server.app.guard.calls == 0


def test_headers_without_end_are_refused() -> None:
    """400, however they come."""
    with Serving() as server, socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nx: ")
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                raw.sendall(b"y" * 10_000)
        with suppress(ConnectionResetError):  # what was sent after the answer can make the kernel drop that
            assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_connections_have_a_bound() -> None:
    """One too many is told to come later."""
    with (
        Serving(connections_max=1, lazy=True) as server,  # lazy: nobody has asked for /ready, and is not quite gone yet
        socket.create_connection(("127.0.0.1", server.port), WAIT_S) as first,
    ):
        first.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as second:
            assert second.recv(100).startswith(b"HTTP/1.1 503")


def test_no_web_page_may_call_unless_it_is_named() -> None:
    """CORS is off; with an origin set, that one may."""
    asked = {"origin": "https://example.org", "access_control_request_method": "POST"}
    with Serving() as server:
        assert server.ask("OPTIONS", "/v1/rerank", **asked).status == 405
        assert (
            "access-control-allow-origin" not in server.post("/v1/rerank", CALL, origin="https://example.org").headers
        )
    with Serving(cors_origins=("https://example.org",)) as server:
        answer = server.ask("OPTIONS", "/v1/rerank", **asked)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://example.org")
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert server.post("/v1/rerank", CALL, origin="https://example.org").headers["vary"] == "origin"
        assert "access-control-allow-origin" not in server.post("/v1/rerank", CALL, origin="https://evil.org").headers


def test_all_bodies_together_have_a_bound() -> None:
    """What is being read is counted while it comes."""
    with Serving(bodies_mb_max=1, body_mb_max=2) as server:
        answer = server.post("/v1/rerank", {"query": "q", "documents": ["x" * 1_100_000]})
        assert (answer.status, answer.json["error"]["code"]) == (429, "overloaded")
        assert server.app.guard.bodies == 0


def test_many_clients_at_once_each_get_their_own_answer() -> None:
    """200 calls of 16 clients: nothing is lost, every order is right."""
    before = threading.active_count()  # of other tests
    with Serving() as server:
        paths = sorted(path for path, route in CALLS.items() if route.first.ranked and route.first.name != "pinecone")

        def ask(number: int) -> bool:
            path = paths[number % len(paths)]
            answer: Answer = server.post(path, call_of(path), x_request_id=f"r-{number}")
            order = [item.index for item in CALLS[path].first.parse_ranking(answer.body).items]
            return order == [1, 3, 0, 2] and answer.headers["x-request-id"] == f"r-{number}"

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(200)))
        assert server.app.guard.calls == 0
        assert threading.active_count() - before < 50
