"""A server on loopback that speaks any dialect, can fail on purpose, and remembers what it was asked."""

import gzip
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from crossrank.remote import RemoteReranker, Retry
from crossrank.wire import DIALECTS, Answer, Call, Dialect, Failure, Item, WireError

CLOSE = "close"  # instead of an answer


@dataclass(frozen=True)
class Fault:
    """What the server does instead of answering rightly."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of the right one
    change: Callable[[bytes], bytes] | None = None  # of the right one
    items: Callable[[list[Item]], list[Item]] | None = None
    drop: bool = False  # close the connection without an answer
    hang: bool = False  # answer when the server is stopped
    cut: int = 0  # bytes of the body that are promised and not sent
    trickle: bool = False  # one byte, then nothing


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]  # lower-case names
    call: Call | None


def relevance(query: str, text: str) -> float:
    """A score in [0, 1] that a test can predict: the share of the query's letters that the text has."""
    return sum(letter in text for letter in query) / len(query)


class Server:
    """Speaks one dialect at its own path and below any prefix; `faults` are taken one by one, then it answers rightly.

    Args:
        dialect: a name.
        key: what must follow "Bearer " (or stand in Api-Key); None asks for none.
        pages: answers to GET, by path.
    """

    def __init__(self, dialect: str = "cohere", *, key: str | None = None, pages: dict[str, Any] | None = None) -> None:
        self.dialect: Dialect = DIALECTS[dialect]
        self.key = key
        self.pages = pages or {}
        self.faults: deque[Fault] = deque()
        self.page_faults: deque[Fault] = deque()  # the same for GET
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)  # released once a request
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Conversation)
        self._http.owner = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def calls(self) -> list[Call]:
        """The rerank calls that came."""
        return [request.call for request in self.requests if request.call is not None]

    def answer(self, call: Call) -> Answer:
        """The right one."""
        texts = [d if isinstance(d, str) else "\n".join(map(str, d.values())) for d in call.documents]
        items = [Item(i, relevance(call.query, text)) for i, text in enumerate(texts)]
        if self.dialect.ranked:
            items.sort(key=lambda item: -item.score)
        known = {
            "model": call.model,
            "id": "answer-1",
            "tokens": len(texts) * 10,
            "search_units": -(-len(texts) // 100),
        }
        carried = {name: value for name, value in known.items() if name in self.dialect.answers}
        return replace(Answer(tuple(items)), **carried)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        owner = self.server.owner
        owner.requests.append(Request("GET", self.path, self._lowered(), None))
        page = owner.pages.get(self.path)
        fault = owner.page_faults.popleft() if owner.page_faults else Fault()
        self._fail_or_send(fault, 200 if page is not None else 404, json.dumps(page).encode())

    def do_POST(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers["content-length"]))
        call: Call | None = None
        status, answer = 404, owner.dialect.dump_error(Failure(f"no {self.path}"))
        fault = owner.faults.popleft() if owner.faults else Fault()
        if self.path.endswith(owner.dialect.path) or "/retrieval/" in self.path:
            try:
                call = owner.dialect.parse_call(body)
                right = owner.answer(call)
                status = 200
                items = right.items if fault.items is None else tuple(fault.items(list(right.items)))
                answer = owner.dialect.dump_ranking(replace(right, items=items))
            except WireError as exc:
                status, answer = 400, owner.dialect.dump_error(Failure(str(exc)))
        owner.requests.append(Request("POST", self.path, self._lowered(), call))
        owner.arrived.release()
        given = self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers.get("api-key")
        if owner.key is not None and given != owner.key:
            status, answer = (
                401,
                owner.dialect.dump_error(Failure(f"invalid api token {given}", "unauthorized", "req-9")),
            )
        self._fail_or_send(fault, status, answer)

    def _fail_or_send(self, fault: Fault, status: int, answer: bytes) -> None:
        if fault.hang:
            self.server.owner.stopping.wait(60)
        if fault.drop or fault.hang:
            self.close_connection = True
            return
        body = answer if fault.body is None else fault.body
        body = body if fault.change is None else fault.change(body)
        if fault.trickle:
            self._send(status, body[:1], {"Content-Length": str(len(body))})
            self.server.owner.stopping.wait(60)
            return
        status = fault.status if fault.status != 200 else status
        promised = {"Content-Length": str(len(body))} if fault.cut else {}
        self._send(status, body[: len(body) - fault.cut], {**fault.headers, **promised})
        self.close_connection = self.close_connection or fault.cut > 0

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """In one write: two would wait for each other's acknowledgement."""
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        self.wfile.write(head.encode() + body)

    def _lowered(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}


def opened(server: Server, spec: str = "cohere:rerank-v4.0-pro", **options: Any) -> RemoteReranker:
    """A reranker of the server, with a key, that does not wait long between tries."""
    given = {"api_key": "k-secret", "base_url": server.url, "retry": Retry(first_s=0.001), "timeout_s": 20}
    return RemoteReranker(spec, **(given | options))


def gzipped(body: bytes) -> Fault:
    """A packed answer that nobody asked for."""
    return Fault(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})


def test_the_server_answers_and_remembers() -> None:
    """What it says is what its dialect says, best first."""
    with Server("cohere") as server:
        connection = HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/v2/rerank", DIALECTS["cohere"].dump_call(Call("ab", ("c", "ab"), "m")))
        answer = DIALECTS["cohere"].parse_ranking(connection.getresponse().read())
        connection.close()
    assert [(item.index, item.score) for item in answer.items] == [(1, 1.0), (0, 0.0)]
    assert server.calls == [Call("ab", ("c", "ab"), "m")]
