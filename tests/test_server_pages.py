"""What is answered to GET: life, readiness, what is served, how it is called."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossrank import __version__
from crossrank.server import openapi, playground
from crossrank.server.routes import PREFIXES, ROUTES
from serving import WAIT_S, FakeRanker, Serving


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving(model=("fake", "two=other")) as server:
        yield server


def test_the_openapi_document_has_every_path_and_only_sound_references(server: Serving) -> None:
    """All calls and pages; every reference leads somewhere; names of operations are unique."""
    said = server.get("/openapi.json").json
    assert said["openapi"] == "3.1.0"
    assert set(said["paths"]) == {*ROUTES, *openapi.PAGES}
    found = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', server.get("/openapi.json").body.decode()))
    assert found <= set(said["components"]["schemas"])
    names = [operation["operationId"] for path in said["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for path in openapi.PAGES:
        answer = server.get(path)
        assert answer.status == 200
        kind = next(iter(said["paths"][path]["get"]["responses"]["200"]["content"]))
        assert answer.headers["content-type"].startswith(kind), path


def test_the_page_needs_nothing_from_elsewhere(server: Serving) -> None:
    """No script, no picture, no address; and the browser is told to load none."""
    answer = server.get("/docs")
    page = answer.body.decode()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<img|<link|src=|https?://", page)
    for path in (*ROUTES, *openapi.PAGES):
        assert f" {path}</code>" in page


def test_the_playground_is_a_page_its_style_and_its_scripts(server: Serving) -> None:
    """Nothing inline, nothing from elsewhere, as the policy says; its parts are there, as what they are."""
    answer = server.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    page = answer.body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", page)
    named = re.findall(r'(?:src|href)="(playground/[^"]+)"', page)
    assert sorted(named) == ["playground/script.js", "playground/style.css"]
    kinds = {".css": "text/css", ".js": "text/javascript", ".jsonl": "application/x-ndjson"}
    folder = Path(playground.__file__).parent
    parts = [file for file in folder.iterdir() if file.suffix in kinds]
    for file in parts:
        part = server.get(f"/playground/{file.name}")
        assert part.headers["content-type"].startswith(kinds[file.suffix])
        assert part.body == file.read_bytes()
        assert not re.search(rb"https?://(?!www.w3.org)|innerHTML|outerHTML|insertAdjacent|document\.write", part.body)
        asked_for = re.findall(rb'^import .* from "\./(.+)";$', part.body, re.MULTILINE)
        assert {name.decode() for name in asked_for} <= {other.name for other in parts}
    assert server.get("/playground/nothing.js").status == 404


def test_there_need_not_be_a_playground() -> None:
    """With --no-playground / is the list of paths."""
    with Serving(playground=False) as server:
        assert server.get("/").body == server.get("/docs").body
        assert server.get("/playground/script.js").status == 404


def test_what_is_served_in_the_words_of_tei_and_openai(server: Serving) -> None:
    """Below a prefix, too, where clients of that vendor look; a crossrank client finds its own word."""
    for prefix in ("", *(f"/{name}" for name in PREFIXES)):
        info = server.get(f"{prefix}/info").json
        assert info["crossrank"] == info["crossrank"] | {"version": __version__, "models": ["fake", "two"]}
        assert info["max_client_batch_size"] == server.settings.documents_max
        assert info["model_id"] == "fake"
        listed = server.get(f"{prefix}/v1/models").json
        assert [model["id"] for model in listed["data"]] == ["fake", "two"]
        assert listed["data"][0]["owned_by"] == "crossrank"
        assert server.get(f"{prefix}/health").json == {"status": "ok"}


def test_head_is_get_without_a_body(server: Serving) -> None:
    """For balancers that ask so."""
    answer = server.ask("HEAD", "/health")
    assert (answer.status, answer.body) == (200, b"")


def test_ready_is_what_it_says() -> None:
    """503 while the model is opened and once the server stops, 200 between; /health is 200 all the time."""
    opened, wanted = threading.Event(), threading.Event()

    def slowly(spec: str) -> FakeRanker:
        wanted.set()
        assert opened.wait(WAIT_S)
        return FakeRanker(spec)

    class Early(Serving):
        def get(self, path: str, **headers: str) -> Any:
            answer = super().get(path, **headers)
            if path == "/ready" and not opened.is_set():
                assert (answer.status, answer.json, answer.headers["retry-after"]) == (503, {"status": "starting"}, "1")
                assert super().get("/health").status == 200
                assert wanted.wait(WAIT_S)
                opened.set()
            return answer

    with Early(slowly) as server:
        assert server.get("/ping").json == {"status": "ready"}
        server.app.guard.draining = True
        assert server.get("/ready").status == 503
        answer = server.get("/health")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert server.post("/v1/rerank", {"query": "q", "documents": ["a"]}).status == 503
        server.app.guard.draining = False


def test_a_prefix_of_a_proxy_is_taken_off() -> None:
    """With --root-path, whether the proxy strips it or not."""
    with Serving(root_path="/ai") as server:
        assert server.post("/v1/rerank", {"query": "q", "documents": ["a"]}).status == 200
        assert server.get("/health").status == 200
