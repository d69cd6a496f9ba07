"""The server on Ray Serve: replicas are replaced, models changed and replicas added under load, and no call fails."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling import Callers, own_ray

ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve")
from crossrank import Reranker  # noqa: E402
from crossrank.cluster.serve import NAME, application  # noqa: E402

pytestmark = pytest.mark.scale

QUERY, DOCUMENTS = "who created python", ["Ruby is by Matz.", "Guido van Rossum created Python."]
BODY = {"query": QUERY, "documents": DOCUMENTS}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve on a Ray of its own, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with own_ray():
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield port


def deploy(port: int, **settings: Any) -> None:
    """Have Serve run the application with these settings, and wait until it does."""
    serve.run(application({"host": "127.0.0.1", "threads": 1, "log_calls": False, **settings}), name=NAME)


def best(model: Path) -> float:
    with Reranker(model, threads=1) as reranker:
        return reranker.rank(QUERY, DOCUMENTS)[0].score


def test_a_model_changes_under_load_and_no_call_fails(port: int, checkpoint: Callable[..., Path]) -> None:
    """Two replicas, four callers who never ask twice: every answer is the old model's or the new one's, then the new one's."""
    first, second = checkpoint("bert"), checkpoint("electra")
    deploy(port, model=[f"old={first}"], workers=2)
    with Callers(port, "/v2/rerank", BODY) as callers:
        callers.until(lambda it: len(it.answers) > 50, "50 answers")
        deploy(port, model=[f"new={second}"], workers=2)
        known = len(callers.answers)
        callers.until(lambda it: len(it.answers) > known + 50, "50 answers of the new model")
    assert callers.failures == []
    scores = {"old": best(first), "new": best(second)}
    assert {(model, score) for _, model, score in callers.answers} == {*scores.items()}
    assert {model for _, model, _ in callers.answers[-40:]} == {"new"}
