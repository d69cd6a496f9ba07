"""A real server on loopback in a thread of the test's process, and a ranker whose scores and waits a test decides."""

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, NamedTuple, Self

import uvloop

from crossrank import Reranker
from crossrank.documents.texts import as_documents
from crossrank.errors import UsageError
from crossrank.server.app import App
from crossrank.server.listen import listen
from crossrank.server.run import build, server_of
from crossrank.server.settings import Settings
from crossrank.types import Hit, Ranking

WAIT_S = 60.0  # no wait of a test may be longer; none should come near


def relevance(query: str, text: str) -> float:
    """A score in (0, 1) that a test can predict: a sigmoid of how many of the query's letters the text has."""
    return 1 / (1 + math.exp(-logit(query, text)))


def logit(query: str, text: str) -> float:
    """The number before the sigmoid."""
    return 4 * sum(letter in text for letter in query) / len(query) - 2


class FakeRanker:
    """Ranks by `relevance`, and does what a test wants.

    Attributes:
        calls: the keyword arguments of each arank, with query and documents.
        came: released once a call.
        held: while set, calls wait until `let_go`, or are cancelled.
        raises: raised instead of an answer.
        cancelled: how many calls were cancelled.
    """

    def __init__(self, spec: str = "fake") -> None:
        self.spec = spec
        self.calls: list[dict[str, Any]] = []
        self.came = threading.Semaphore(0)
        self.held = False
        self.raises: BaseException | None = None
        self.cancelled = threading.Semaphore(0)
        self.closed = False
        self.truncated = False
        self.unscored: frozenset[int] = frozenset()
        self._go: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def arank(
        self,
        query: str,
        documents: Sequence[Any],
        *,
        top_k: int | None = None,
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        if instruction == "refused":
            raise UsageError("this model takes no instruction")
        texts = [item.text for item in as_documents(documents, fields)]
        said = {"top_k": top_k, "fields": fields, "instruction": instruction, "deadline_s": deadline_s}
        self.calls.append({"query": query, "documents": list(documents), "priority": priority, **said})
        await self._wait()
        order = sorted(range(len(texts)), key=lambda i: -logit(query, texts[i]))
        hits = [
            Hit(
                rank,
                i,
                None if i in self.unscored else relevance(query, texts[i]),
                None if i in self.unscored else logit(query, texts[i]),
                documents[i],
                texts[i],
                tokens=len(texts[i]),
                truncated=self.truncated,
                passage=(0, len(texts[i])),
                scored_by=self.spec,
            )
            for rank, i in enumerate(order[:top_k], 1)
        ]
        seconds = {"queue": 0.001, "tokenize": 0.002, "run": 0.003, "total": 0.006}
        return Ranking(tuple(hits), query, seconds, {"tokens": sum(map(len, texts)), "pairs": len(texts)})

    async def ascore(self, pairs: Sequence[tuple[str, Any]], *, raw: bool = False) -> list[float]:
        self.calls.append({"pairs": list(pairs)})
        await self._wait()
        return [(logit if raw else relevance)(query, text) for query, text in pairs]

    def close(self) -> None:
        self.closed = True

    def let_go(self) -> None:
        """No call waits any more."""
        self.held = False
        for loop, event in self._go:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    async def _wait(self) -> None:
        event = asyncio.Event()
        self._go.append((asyncio.get_running_loop(), event))
        self.came.release()
        if self.raises is not None:
            raise self.raises
        if self.held:
            try:
                await event.wait()
            except asyncio.CancelledError:
                self.cancelled.release()
                raise


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A server in a thread; ends with the `with`.

    Args:
        ranker: answers under every name; or a function that opens one by its spec.
        environ: where keys are looked for.
        settings: as `Settings` takes them.
    """

    def __init__(self, ranker: Any = None, *, environ: Mapping[str, str] | None = None, **settings: Any) -> None:
        self.ranker = FakeRanker() if ranker is None else ranker
        self.settings = Settings(**{"port": 0, "log_calls": False, "model": ("fake",), "shutdown_s": 5.0, **settings})
        self._environ = environ or {}
        self._bound = listen(self.settings, self._environ)
        self.port = self._bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app: App
        self._server: Any
        self._loop: asyncio.AbstractEventLoop
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        opener: Callable[[str], Any] = self.ranker if callable(self.ranker) else lambda _: self.ranker

        async def serve() -> None:
            self.app = build(self.settings, opener, self._environ)
            self._server = server_of(self.app, self.settings)
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._started.set)
            await self._server.serve(sockets=[self._bound])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            assert self._started.wait(WAIT_S)
            end = time.monotonic() + WAIT_S
            while not self.settings.lazy and self.get("/ready").status != 200:
                assert time.monotonic() < end, "the first model was not opened"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.ranker, FakeRanker):
            self.ranker.let_go()
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    @property
    def protocol(self) -> Any:
        """The class of the server's connections, whose bounds a test may change for those that come after."""
        return self._server.config.http

    def in_loop(self, work: Any) -> Any:
        """The result of a coroutine of the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Answer:
        """The answer to a call; a body that is no bytes is sent as JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, sent, key=key, **{"content-type": "application/json", **headers})

    def get(self, path: str, **headers: str) -> Answer:
        """A page."""
        return self.ask("GET", path, **headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, key: str | None = None, **headers: str
    ) -> Answer:
        """The answer to any request; underscores in the names of headers stand for dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


class Reusable:
    """A shared reranker that a server does not close."""

    def __init__(self, reranker: Reranker) -> None:
        self.arank, self.ascore, self.facts = reranker.arank, reranker.ascore, reranker.facts
        self.explain = reranker.explain

    def close(self) -> None:
        """Others use it."""
