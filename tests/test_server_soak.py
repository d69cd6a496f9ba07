"""What takes long: overload, 100,000 mutated bodies, all that the OpenAPI document allows, 10,000 real calls."""

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from calls import call_of, mutated
from crossrank.server.models import resident_mb
from crossrank.server.routes import CALLS
from serving import FakeRanker, Serving, relevance

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.soak
SEEDS = range(10)
BODIES = 10_000  # a seed
GROWTH_MB_MAX = 100


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_bodies(seed: int) -> None:
    """No 5xx, no hang, no growth; the seed and the number of the body say which it was."""
    import http.client

    dice = random.Random(seed)
    paths = sorted(CALLS)
    with Serving() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        before = 0.0
        for number in range(BODIES):
            path = dice.choice(paths)
            body = mutated(dice, json.dumps(call_of(path, top_n=2, return_documents=True)).encode())
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 400, 404), (seed, number, path, body)
            server.ranker.calls.clear()
            if number == BODIES // 10:
                before = resident_mb()
        connection.close()
        assert resident_mb() - before < GROWTH_MB_MAX
        assert server.app.guard.calls == server.app.guard.bodies == server.app.guard.work == 0


@pytest.mark.timeout(1800)
def test_whatever_the_openapi_document_allows(tmp_path: Path) -> None:
    """Schemathesis: statuses, types and shapes are those of the document, and nothing is a 5xx."""
    schemathesis = ROOT / ".venv-schemathesis" / "bin" / "schemathesis"
    if not schemathesis.exists():
        pytest.skip("scripts/sdk_env.sh schemathesis was not run; `make soak` runs it")
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,unsupported_method"
    )
    with Serving() as server:
        command = [schemathesis, "run", f"{server.url}/openapi.json", "--max-examples", "100", "--checks", checks]
        done = subprocess.run(
            [*command, "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color"],
            capture_output=True,
            text=True,
            timeout=1700,
            check=False,
            cwd=tmp_path,  # where it keeps what it learnt
        )
    assert done.returncode == 0, done.stdout[-10_000:]


@pytest.mark.timeout(600)
def test_overload() -> None:
    """Five times what it can do, for a minute: what is taken ends in time, the rest is refused at once.

    Memory is bounded, and as much is done as without the crowd.
    """
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from load import load, request_of
    finally:
        sys.path.pop(0)
    texts = [f"passage {i} says what there is to say of {i % 7} things in so many words" for i in range(20)]
    bodies = [json.dumps({"query": f"what of {i}", "documents": texts}).encode() for i in range(500)]
    requests = [request_of("/v1/rerank", body) for body in bodies]
    options = ["--port", "0", "--queue-s", "2", "--timeout-s", "10", "--no-score-cache", "--no-log-calls"]
    process = subprocess.Popen(
        [sys.executable, "-m", "crossrank", "serve", *options], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = re.search(r":(\d+) ", process.stderr.readline())
        assert found is not None
        port = int(found[1])
        calm = load(port, requests, 4, 10.0)
        before = resident_mb(process.pid)
        crowd = load(port, requests, 1_000, 60.0, calls_a_second=5 * calm.calls_a_second)
        assert process.poll() is None
        assert resident_mb(process.pid) - before < GROWTH_MB_MAX
        assert crowd.refused > 0
        assert max(crowd.latencies) <= 10.0 + 1
        assert crowd.quantile(0.5) <= 2 * 2.0
        assert statistics.median(crowd.refusal_latencies) <= 0.05
        assert crowd.calls_a_second >= 0.7 * calm.calls_a_second
        assert load(port, requests, 1, 1.0).refused == 0
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(1800)
def test_ten_thousand_calls_of_real_and_raw_clients() -> None:
    """Cohere 5 and 7, Voyage and raw ones at the same time: nothing is lost, every order is right."""
    texts = ["a", "abcd", "xyz", "abc"]
    with Serving(FakeRanker()) as server, ThreadPoolExecutor(8) as pool:
        scripts = [("cohere5", "many_cohere.py"), ("current", "many_cohere.py"), ("current", "many_voyage.py")]

        def clients(environment: str, script: str) -> dict[str, Any]:
            python = ROOT / f".venv-{environment}" / "bin" / "python"
            done = subprocess.run(
                [python, ROOT / "tests" / "sdks" / script, server.url, "2500"],
                capture_output=True,
                text=True,
                timeout=1500,
                check=True,
            )
            return dict(json.loads(done.stdout.splitlines()[-1]))

        if not (ROOT / ".venv-current").exists():
            pytest.skip("scripts/sdk_env.sh was not run; `make soak` runs it")
        asked = [pool.submit(clients, *script) for script in scripts]

        def raw(number: int) -> bool:
            path = sorted(CALLS)[number % len(CALLS)]
            items = CALLS[path].first.parse_ranking(server.post(path, call_of(path)).body).items
            expected = [1, 3, 0, 2] if CALLS[path].first.ranked else [0, 1, 2, 3]
            return [item.index for item in items] == expected

        assert all(pool.map(raw, range(2_500)))
        for one in asked:
            orders = one.result()["orders"]
            assert orders == {"[1, 3, 0, 2]": 2_500}
        assert relevance("abcd", texts[1]) > relevance("abcd", texts[3])
        assert server.app.guard.calls == 0


@pytest.mark.timeout(600)
def test_clients_that_come_and_go() -> None:
    """A thousand that hang up in the middle of a body or of an answer leave nothing behind."""

    async def visit(port: int, number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"query": "q", "documents": ["a"] * 50}).encode()
        head = f"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        writer.write((head + body)[: number % (len(head) + len(body) + 1)])
        await writer.drain()
        writer.close()

    async def visits(port: int) -> None:
        for start in range(0, 1_000, 50):
            await asyncio.gather(*(visit(port, start * 7 + i) for i in range(50)))

    with Serving() as server:
        asyncio.run(visits(server.port))
        end = time.monotonic() + 60
        while server.app.guard.calls and time.monotonic() < end:
            server.get("/health")
        assert server.app.guard.calls == server.app.guard.bodies == server.app.guard.work == 0
        assert server.post("/v1/rerank", {"query": "q", "documents": ["a"]}).status == 200
