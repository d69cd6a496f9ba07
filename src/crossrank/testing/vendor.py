"""A vendor's API on loopback, for tests of what asks one: it scores by a function, fails when told to, and remembers.

It knows the wire; sockets and HTTP are `loopback`'s.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import responses
from queue import Empty, SimpleQueue
from typing import Any, Self

from crossrank.errors import UsageError
from crossrank.remote.vendors import VENDORS
from crossrank.testing.faults import Fault, Request
from crossrank.testing.loopback import Loopback, Reply
from crossrank.wire import Answer, Call, Failure, Item, WireError
from crossrank.wire.contract import WireDocument

PATIENCE_S = 10.0
RIGHT = Fault()
MODEL = "fake"
SELF_DESCRIPTIONS: Mapping[str, Mapping[str, Any]] = {
    "tei": {"/info": {"model_id": MODEL, "max_client_batch_size": 32}},
    "vllm": {"/v1/models": {"data": [{"id": MODEL, "owned_by": "vllm"}]}},
    "llamacpp": {"/v1/models": {"data": [{"id": MODEL, "owned_by": "llamacpp"}]}},
    "infinity": {"/models": {"data": [{"id": MODEL, "owned_by": "infinity"}]}},
    "crossrank": {"/info": {"server": "crossrank (fake)"}},
}


def shared_letters(query: str, text: str) -> float:
    """The share of the query's letters that the text has, in [0, 1]: a score that a test can predict."""
    return sum(letter in text for letter in query) / max(1, len(query))


class FakeVendor:
    """A vendor's API on loopback; runs from its construction until `close()`, or the end of its `with`.

    Ask it by its `url`: `Reranker("cohere:any-model", base_url=vendor.url, api_key="any")`. It speaks its dialect at
    the dialect's path, below any prefix, to any number of clients at a time.

    Args:
        name: whose API: what stands before the colon of a model's name, as "cohere" in "cohere:rerank-v4.0-pro".
        score: from a query and a document's text to the score that is answered; called in several threads. Of a
            document with fields the text is their values, one a line. What it raises is answered as a 500.
        key: the only key that is taken; by default any is, and none too.
        pages: what a GET of a path is answered, as JSON; by default what a server of this kind says of itself.

    Attributes:
        url: the base URL.
        dialect: what it speaks, as `crossrank.wire` has it.
        faults: what it does with the next calls, one each; then it answers rightly. Append to it at any time.
        page_faults: the same for GETs.
        requests: all that came, in order.

    Raises:
        UsageError: there is no vendor of that name.
    """

    def __init__(
        self,
        name: str = "cohere",
        *,
        score: Callable[[str, str], float] = shared_letters,
        key: str | None = None,
        pages: Mapping[str, Any] | None = None,
    ) -> None:
        if name not in VENDORS:
            raise UsageError(f"{name!r} names no vendor that is known; the names are: {', '.join(VENDORS)}")
        dialect = VENDORS[name].dialect
        assert dialect is not None, "bug: a vendor that is known has no dialect"
        self.name = name
        self.dialect = dialect
        self.faults: deque[Fault] = deque()
        self.page_faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self._score = score
        self._key = key
        self._pages = SELF_DESCRIPTIONS.get(name, {}) if pages is None else pages
        self._came: SimpleQueue[Call] = SimpleQueue()
        self._http = Loopback(self._reply)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @property
    def calls(self) -> list[Call]:
        """The rerank calls that came, in order, those included that were answered with a fault."""
        return [request.call for request in tuple(self.requests) if request.call is not None]

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return self._http.connections

    def await_call(self, timeout_s: float = PATIENCE_S) -> Call:
        """The first rerank call that was not waited for yet; waits until it is there, not until it is answered.

        Raises:
            TimeoutError: none came in time.
        """
        try:
            return self._came.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError(f"no call came within {timeout_s:g} s") from None

    def close(self) -> None:
        """End it and all connections; calls that are under way get no answer. A second time does nothing."""
        self._http.end()

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Whose API it is, and where."""
        return f"FakeVendor({self.name!r}, {self.url})"

    def _reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What is sent back, with its fault; the request is noted."""
        request = Request(method, path, headers, body, None)
        if method == "GET":
            self.requests.append(request)
            return self._faulty(_next(self.page_faults), *self._page(path))
        fault = _next(self.faults)
        request, status, answer = self._understood(request)
        self.requests.append(request)
        if request.call is not None:
            self._came.put(request.call)
            if status == 200:
                status, answer = self._answer(request.call, fault)
        return self._faulty(fault, status, answer)

    def _faulty(self, fault: Fault, status: int, body: bytes) -> Reply:
        """What is sent instead of a status and a body."""
        if fault.status != 200:
            status = fault.status
            if status >= 400:
                body = self._refusal(fault.message or responses.get(status, f"status {status}"))
        body = body if fault.body is None else fault.body
        return Reply(status, body if fault.change is None else fault.change(body), fault)

    def _page(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        return (200, json.dumps(self._pages[path]).encode()) if path in self._pages else (404, b"null")

    def _understood(self, request: Request) -> tuple[Request, int, bytes]:
        """The request with its call, and the status and body of what is wrong with it; 200 where nothing is."""
        if not request.path.endswith(self.dialect.path):
            return request, 404, self._refusal(f"no {request.path}")
        try:
            request = replace(request, call=self.dialect.parse_call(request.body))
        except WireError as exc:
            return request, 400, self._refusal(str(exc))
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key", "")
        if self._key is not None and given != self._key:
            return request, 401, self._refusal(f"invalid api token {given}", "unauthorized")
        return request, 200, b""

    def _answer(self, call: Call, fault: Fault) -> tuple[int, bytes]:
        """Status and body of the answer to a call, right but for the fault's items."""
        try:
            items = [Item(i, self._score(call.query, _text(document))) for i, document in enumerate(call.documents)]
        except Exception as exc:  # noqa: BLE001 - a caller's function: whoever asks is told, in words
            return 500, self._refusal(f"the fake vendor's score= failed: {exc!r}")
        if self.dialect.ranked:
            items.sort(key=lambda item: -item.score)
        items = items[: call.top_n]
        if call.return_documents:
            items = [replace(item, document=call.documents[item.index]) for item in items]
        count = len(call.documents)
        known = {"model": call.model, "id": "answer-1", "tokens": 10 * count, "search_units": -(-count // 100)}
        said: dict[str, Any] = {name: value for name, value in known.items() if name in self.dialect.answers}
        return 200, self.dialect.dump_ranking(Answer(tuple(fault.items(items) if fault.items else items), **said))

    def _refusal(self, message: str, code: str | None = None) -> bytes:
        return self.dialect.dump_error(Failure(message, code, "request-1"))


def _text(document: WireDocument) -> str:
    return document if isinstance(document, str) else "\n".join(map(str, document.values()))


def _next(faults: deque[Fault]) -> Fault:
    try:
        return faults.popleft()
    except IndexError:
        return RIGHT
