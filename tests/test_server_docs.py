"""docs/server.md is true: its snippets run against a server, its table is that of the settings, its paths are there."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.server.keys import read_keys
from crossrank.server.refusals import Refusal
from crossrank.server.routes import CALLS, EXPLAIN
from serving import Reusable, Serving

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server(bundled: Reranker) -> Iterator[Serving]:
    with Serving(Reusable(bundled), model=("crossrank-mini",)) as server:
        yield server


def block(heading: str, language: str, server: Serving) -> str:
    """The first block below a heading, with the server's own address."""
    found = re.search(rf"^## {heading}\n.*?```{language}\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert ADDRESS in found[1]
    return found[1].replace(ADDRESS, server.url)


@pytest.mark.parametrize(
    ("heading", "environment"), [("Cohere", "current"), ("Cohere", "cohere5"), ("Voyage", "current")]
)
def test_snippets_of_vendors_clients(heading: str, environment: str, server: Serving) -> None:
    """As they stand, with the clients themselves."""
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"scripts/sdk_env.sh {environment} was not run; `make test` runs it")
    done = subprocess.run(
        [python, "-c", block(heading, "python", server)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1, 2]\n"


@pytest.mark.parametrize(("heading", "best"), [("TEI", 1), ("Jina", 1)])
def test_snippets_of_curl(heading: str, best: int, server: Serving) -> None:
    """In a shell."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    done = subprocess.run(["bash", "-c", block(heading, "bash", server)], capture_output=True, timeout=60, check=True)
    said = json.loads(done.stdout)
    first = said[0] if heading == "TEI" else said["results"][0]
    assert first["index"] == best


def test_our_own_snippet(server: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process."""
    exec(compile(block("From Python, with ours", "python", server), "docs/server.md", "exec"), {})
    assert capsys.readouterr().out == "[1, 0]\n"


def test_the_table_of_settings_is_that_of_the_settings() -> None:
    """Else: python scripts/server_settings.py."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from server_settings import SECTION, settings
    finally:
        sys.path.pop(0)
    found = SECTION.search(TEXT)
    assert found is not None
    assert found[0] == settings()


def test_paths_are_there() -> None:
    """Each that the page names, and each that there is has its prefix or its line."""
    named = {path for path in re.findall(r"`(/[\w/]*)`", TEXT) if "rank" in path or "score" in path}
    assert named <= {*CALLS, EXPLAIN}
    assert set(CALLS) - named <= {
        *("/", "/invocations", "/tei", "/voyage/rerank", "/jina/rerank", "/vllm/rerank", "/vllm/v2/rerank"),
        "/vllm/score",
    }


def test_the_metrics_are_there(server: Serving) -> None:
    """Each that the page names."""
    page = server.get("/metrics").body.decode()
    named = re.findall(r"`(crossrank_http_\w+)", TEXT)
    assert len(named) == 6
    assert all(f"# TYPE {name} " in page for name in named)


def test_the_file_of_keys_is_one(tmp_path: Path) -> None:
    """The example's lines can be read."""
    file = tmp_path / "keys"
    lines = re.search(r"```\n(a-long-random-string.*?)```", TEXT, re.DOTALL)
    assert lines is not None
    file.write_text(lines[1])
    assert [key.name for key in read_keys({}, file).keys] == ["search", "batch"]


def test_every_status_that_is_said_is_in_the_table() -> None:
    """And in the table is none that is never said."""
    sources = "".join(path.read_text() for path in (ROOT / "src" / "crossrank" / "server").glob("*.py"))
    said = {int(status) for status in re.findall(r"(?:Refusal|cls)\(\s*(\d{3}),", sources)} | {429}
    table = TEXT[TEXT.index("## Errors") : TEXT.index("## Keys")]
    told = {int(status) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for status in row.split(",")}
    assert told == said - {500}
    assert Refusal(500, "x", "y").headers == ()
