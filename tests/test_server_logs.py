"""What the server tells of itself: logs, metrics, ids; and no text in any of them."""

import json
import logging
from pathlib import Path

import pytest

from crossrank.server.logs import set_up
from crossrank.server.metrics import FOLDER, Metrics
from serving import FakeRanker, Serving

CALL = {"query": "ab", "documents": ["a", "b"]}


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", 'a"b', "é"])
def test_a_request_s_id_is_echoed_if_it_is_sound(given: str) -> None:
    """Else there is a new one, in the header and in the error alike."""
    with Serving() as server:
        answer = server.get("/nope", x_request_id=given)
        made = answer.headers["x-request-id"]
        assert made == answer.json["id"] != given
        assert len(made) == 32
        assert server.get("/nope", x_request_id="a-1.b:2/c").headers["x-request-id"] == "a-1.b:2/c"


def test_logs_have_no_texts(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of JSON a call, with counts, names and times; neither query, nor document, nor key, nor message."""
    loggers = [logging.getLogger(name) for name in ("crossrank.server", "uvicorn.error", "uvicorn.access")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    set_up("info")
    try:
        ranker = FakeRanker()
        with Serving(ranker, environ={"CROSSRANK_API_KEY": "secret-key"}, log_calls=True) as server:
            server.post("/v1/rerank", {"query": "secret-query", "documents": ["secret-document"]}, key="secret-key")
            server.post("/v1/rerank", {"query": "secret-query", "documents": [None]}, key="secret-key")
            ranker.raises = RuntimeError("secret-message")
            server.post("/v1/rerank", CALL, key="secret-key")
            server.get("/health")
    finally:
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    written = capfd.readouterr().err
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]  # others may write there, too
    assert "secret" not in written
    calls = [line for line in lines if line["message"] == "call" and line["route"] == "/v1/rerank"]
    assert [line["status"] for line in calls] == [200, 400, 500]
    assert not [line for line in lines if line.get("route") == "/health"]
    assert calls[0] | {"documents": 1, "model": "fake", "dialect": "superset", "key": "crossrank_api_key-1"} == calls[0]
    failed = next(line for line in lines if line["message"] == "a call failed")
    assert failed["error"] == "RuntimeError"
    assert any("serving.py" in place for place in failed["at"])


def test_what_is_counted() -> None:
    """Requests by route and status, sizes, refusals; and the metrics of whatever ranks."""
    with Serving() as server:
        server.post("/v1/rerank", CALL)
        server.post("/v1/rerank", b"nonsense")
        server.get("/health")
        page = server.get("/metrics").body.decode()
    for line in (
        'crossrank_http_requests_total{route="/v1/rerank",status="200"} 1.0',
        'crossrank_http_requests_total{route="/v1/rerank",status="400"} 1.0',
        'crossrank_http_requests_total{route="/health",status="200"} 1.0',
        'crossrank_http_refusals_total{code="invalid_request"} 1.0',
        "crossrank_http_in_flight 1.0",
        "crossrank_http_documents_count 1.0",
        'crossrank_http_body_bytes_bucket{le="256.0"} 2.0',
        "# TYPE crossrank_stage_seconds histogram",
    ):
        assert line in page, line


def test_a_worker_that_starts_disturbs_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are empty at first."""
    metrics = Metrics()  # before it could be taken for a worker's
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for name in ("counter_7.db", "histogram_7.db", "gauge_livesum_7.db"):
        (tmp_path / name).touch()
    assert metrics.page() == b""
    metrics.close()
