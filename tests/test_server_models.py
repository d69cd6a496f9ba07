"""Several models in one server: by name, opened when wanted, closed for memory, replaced without a gap."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from crossrank.errors import ModelNotFoundError, UsageError
from crossrank.server.models import Models, named
from serving import WAIT_S, FakeRanker, Serving


class Shelf:
    """Opens fakes by their spec, and remembers them."""

    def __init__(self, *missing: str) -> None:
        self.opened: list[FakeRanker] = []
        self.missing = set(missing)
        self.slow: threading.Event | None = None
        self.asked = threading.Semaphore(0)

    def __call__(self, spec: str) -> FakeRanker:
        self.asked.release()
        if self.slow is not None:
            assert self.slow.wait(WAIT_S)
        if spec in self.missing:
            raise ModelNotFoundError(f"no {spec} in /secret/path")
        self.opened.append(FakeRanker(spec))
        return self.opened[-1]

    @property
    def specs(self) -> list[str]:
        return [ranker.spec for ranker in self.opened]


def ask(model: str | None) -> dict[str, object]:
    return {"query": "ab", "documents": ["a", "b"], "model": model}


def test_models_are_asked_by_name_and_opened_when_they_are_wanted() -> None:
    """The first at the start, another at its first call, once for many callers; who names none asks the first."""
    shelf = Shelf()
    with Serving(shelf, model=("a", "other=b/c")) as server, ThreadPoolExecutor(4) as pool:
        assert shelf.specs == ["a"]
        assert server.get("/v1/models").json["data"][1] | {"id": "other"} == server.get("/v1/models").json["data"][1]
        assert [a.status for a in pool.map(lambda _: server.post("/v1/rerank", ask("other")), range(8))] == [200] * 8
        assert shelf.specs == ["a", "b/c"]
        assert server.post("/v1/rerank", ask(None)).json["model"] == "a"
        assert len(shelf.opened[0].calls) == 1
    assert all(ranker.closed for ranker in shelf.opened)


@pytest.mark.parametrize(
    ("models", "strict", "wanted", "status"),
    [
        (("a",), False, "rerank-v3.5", 200),
        (("a",), True, "rerank-v3.5", 404),
        (("a",), True, "a", 200),
        (("a",), True, None, 200),
        (("a", "b"), False, "rerank-v3.5", 404),
        (("a", "rerank-v3.5=b"), False, "rerank-v3.5", 200),
        (("a", "b"), False, "", 200),
    ],
)
def test_a_name_that_is_not_served(models: tuple[str, ...], strict: bool, wanted: str | None, status: int) -> None:
    """One model takes every name, unless it is told not to; several take their own only."""
    with Serving(Shelf(), model=models, strict_models=strict) as server:
        answer = server.post("/v1/rerank", ask(wanted))
        assert answer.status == status
        if status == 404:
            assert answer.json["message"] == f"model 'rerank-v3.5' not found; served are {', '.join(models)}"


def test_the_server_lives_before_its_model_is_ready() -> None:
    """/health at once, /ready when the first model is open; what is called meanwhile waits for it."""
    shelf = Shelf()
    shelf.slow = threading.Event()
    with Serving(shelf, lazy=True) as server, ThreadPoolExecutor(1) as pool:
        assert server.get("/ready").status == 200  # lazy: nobody waits for the first model
        answer = pool.submit(server.post, "/v1/rerank", ask(None))
        assert shelf.asked.acquire(timeout=WAIT_S)
        assert server.get("/health").status == 200
        assert not server.app.models.ready
        shelf.slow.set()
        assert answer.result().status == 200
        assert server.get("/info").json["model_id"] == "fake"


def test_who_hangs_up_while_a_model_is_opened_leaves_it_to_the_next() -> None:
    """It is opened once, and closed at the end."""
    shelf = Shelf()
    shelf.slow = threading.Event()
    with Serving(shelf, lazy=True) as server:
        body = json.dumps(ask(None)).encode()
        with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
            raw.sendall(f"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            assert shelf.asked.acquire(timeout=WAIT_S)
        end = time.monotonic() + WAIT_S
        while b'status="499"' not in server.get("/metrics").body:
            assert time.monotonic() < end, "who hung up is still waited for"
        shelf.slow.set()
        assert server.post("/v1/rerank", ask(None)).status == 200
        assert len(shelf.opened) == 1
    assert shelf.opened[0].closed


def test_a_model_that_cannot_be_opened_is_503_and_not_tried_at_once_again() -> None:
    """The message is in the log, not in the answer; other models answer."""
    shelf = Shelf("bad")
    with Serving(shelf, model=("good", "bad")) as server:
        for _ in range(2):
            answer = server.post("/v1/rerank", ask("bad"))
            assert (answer.status, answer.json["error"]["code"]) == (503, "unavailable")
            assert "secret" not in answer.json["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert sum(1 for _ in iter(lambda: shelf.asked.acquire(blocking=False), False)) == 2  # good, and bad once
        assert server.post("/v1/rerank", ask("good")).status == 200


def test_the_least_recently_used_is_closed_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is answering is not; a closed one is opened again when it is wanted."""
    shelf = Shelf()

    def megabytes() -> float:
        return 100.0 * sum(not ranker.closed for ranker in shelf.opened)

    monkeypatch.setattr("crossrank.server.models.resident_mb", megabytes)
    with Serving(shelf, model=("a", "b", "c"), memory_max_mb=200) as server, ThreadPoolExecutor(1) as pool:
        assert server.post("/v1/rerank", ask("b")).status == 200
        assert server.post("/v1/rerank", ask("a")).status == 200
        assert server.post("/v1/rerank", ask("c")).status == 200
        assert [ranker.spec for ranker in shelf.opened if ranker.closed] == ["b"]
        shelf.opened[0].held = True
        waiting = pool.submit(server.post, "/v1/rerank", ask("a"))
        assert shelf.opened[0].came.acquire(timeout=WAIT_S)
        assert shelf.opened[0].came.acquire(timeout=WAIT_S)
        assert server.post("/v1/rerank", ask("b")).status == 200
        assert [ranker.spec for ranker in shelf.opened if ranker.closed] == ["b", "c"]
        shelf.opened[0].let_go()
        assert waiting.result().status == 200


def test_a_reload_leaves_no_gap() -> None:
    """Who is being answered keeps its model, which is closed when it is done; one that cannot be reopened stays."""
    shelf = Shelf()
    with Serving(shelf, model=("a", "b")) as server, ThreadPoolExecutor(1) as pool:
        first = shelf.opened[0]
        first.held = True
        waiting = pool.submit(server.post, "/v1/rerank", ask("a"))
        assert first.came.acquire(timeout=WAIT_S)
        server.in_loop(server.app.models.reload())
        assert shelf.specs == ["a", "a"]  # b was not open
        assert not first.closed
        assert server.post("/v1/rerank", ask("a")).status == 200
        assert len(shelf.opened[1].calls) == 1
        first.let_go()
        assert waiting.result().status == 200
        server.in_loop(_settled())
        assert first.closed
        shelf.missing.add("a")
        server.in_loop(server.app.models.reload())
        assert server.post("/v1/rerank", ask("a")).status == 200
        assert not shelf.opened[1].closed


async def _settled() -> None:
    """After what was to be done at the end of the call before."""
    import asyncio

    await asyncio.to_thread(lambda: None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("BAAI/bge-reranker-base", ("BAAI/bge-reranker-base", "BAAI/bge-reranker-base")),
        ("rerank-v3.5=./folder", ("rerank-v3.5", "./folder")),
        ("a=cohere:rerank-v4.0-pro", ("a", "cohere:rerank-v4.0-pro")),
        ("http://host:1?a=b", ("http://host:1?a=b", "http://host:1?a=b")),
        ("x=http://host:1?a=b", ("x", "http://host:1?a=b")),
    ],
)
def test_names_of_models(given: str, expected: tuple[str, str]) -> None:
    """NAME=MODEL, or the model's own; a URL may hold an equals sign."""
    assert named(given) == expected


def test_two_models_of_one_name_are_a_mistake() -> None:
    """It says how to tell them apart."""
    with pytest.raises(UsageError, match="NAME=MODEL"):
        Models(("a", "a=b"), FakeRanker)
