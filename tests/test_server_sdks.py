"""The vendors' own clients, each in an environment of its own, get the right order, and the right class of error."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossrank.errors import DeadlineError, ModelError, OverloadError
from serving import FakeRanker, Serving, relevance

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["a", "abcd", "xyz", "abc"]
RANKED = [[i, relevance("abcd", TEXTS[i])] for i in (1, 3, 0, 2)]
WITH_TEXTS = [[i, score, TEXTS[i]] for i, score in RANKED]
TIMEOUT_S = 120


class Moody(FakeRanker):
    """Fails by what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_again = False

    async def arank(self, query: str, documents: Any, **options: Any) -> Any:
        errors = {
            "overloaded": OverloadError("full", retry_after_s=1),
            "late": DeadlineError("late"),
            "broken": RuntimeError("broken"),
            "unavailable": ModelError("gone"),
        }
        if query in errors:
            raise errors[query]
        if query == "overloaded once" and not self.asked_again:
            self.asked_again = True
            raise OverloadError("full", retry_after_s=1)
        return await super().arank(query, documents, **options)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    keys = tmp_path / "keys"
    keys.write_text("key models=m,rerank-2.5,once\n")
    models = ("m", "rerank-2.5=m", "other=m")
    with Serving(Moody(), model=models, api_key_file=str(keys), body_mb_max=1) as server:
        yield server


def asked(environment: str, script: str, server: Serving) -> dict[str, Any]:
    """What a script prints in an SDK's environment."""
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"scripts/sdk_env.sh {environment} was not run; `make test` runs it")
    done = subprocess.run(
        [python, ROOT / "tests" / "sdks" / script, server.url, "key"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={"NO_PROXY": "*", "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("environment", ["cohere5", "current"])
def test_cohere(environment: str, server: Serving) -> None:
    """Version 5 and 7: both APIs, sync and async, below a prefix and without; each failure has its class."""
    found = asked(environment, "ask_cohere.py", server)
    assert found["version"].startswith({"cohere5": "5.", "current": "7."}[environment])
    for prefix in ("", "/cohere"):
        assert found[f"v2 {prefix}"] == RANKED
        assert found[f"v1 {prefix}"] == WITH_TEXTS[:2]
        assert found[f"units {prefix}"] == 1
    assert found["top_n"] == RANKED[:1]
    assert found["fields"] == [1, 0]
    assert found["awaited"] == [RANKED] * 50
    assert found["again"] == [[0, relevance("overloaded once", "a")]]
    assert {query: error[:2] for query, error in found["errors"].items()} == {
        " ": ["BadRequestError", 400],
        "overloaded": ["TooManyRequestsError", 429],
        "late": ["GatewayTimeoutError", 504],
        "broken": ["InternalServerError", 500],
        "unavailable": ["ServiceUnavailableError", 503],
        "forbidden": ["ForbiddenError", 403],
        "missing": ["NotFoundError", 404],
        "large": ["ApiError", 413],
        "key": ["UnauthorizedError", 401],
    }
    assert "query must not be empty or be only whitespace" in found["errors"][" "][2]
    assert "invalid api token" in found["errors"]["key"][2]


def test_voyage_and_others(server: Serving) -> None:
    """Voyage, Mixedbread, Together, Pinecone: orders, scores, documents, units; messages that can be read."""
    found = asked("current", "ask_others.py", server)
    for prefix in ("/v1", "", "/voyage/v1", "/voyage"):
        assert found[f"voyage {prefix}"] == WITH_TEXTS[:3]
        assert found[f"voyage tokens {prefix}"] == sum(map(len, TEXTS))
    assert found["voyage awaited"] == [RANKED] * 50
    classes = {query: error[0] for query, error in found["voyage errors"].items()}
    assert classes == {
        " ": "InvalidRequestError",
        "overloaded": "RateLimitError",
        "late": "ServiceUnavailableError",
        "broken": "ServerError",
        "unavailable": "ServiceUnavailableError",
        "forbidden": "APIError",
        "missing": "APIError",
        "key": "AuthenticationError",
    }
    assert "query must not be empty" in found["voyage errors"][" "][1]
    assert found["mixedbread"] == WITH_TEXTS[:2]
    assert found["together"] == WITH_TEXTS[:2]
    assert found["pinecone"] == WITH_TEXTS[:2]
    assert found["pinecone units"] == 1
    assert found["mixedbread error"] == found["together error"] == "BadRequestError"
    assert "Error" in found["pinecone error"]
