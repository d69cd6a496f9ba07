"""docs/server.md is true: its snippets run against a server, its table is that of the settings, its paths are there.

So do the snippets of Cohere's client elsewhere, with the oldest SDK too: README's, and that of docs/howto/serve.md.
"""

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
COHERE = ("README.md", "docs/howto/serve.md")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server(bundled: Reranker) -> Iterator[Serving]:
    with Serving(Reusable(bundled), model=("crossrank-mini",)) as server:
        yield server


def block(heading: str, language: str, server: Serving) -> str:
    """The first block below a heading, with the server's own address."""
    found = re.search(rf"^### {heading}\n.*?```{language}\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return at(found[1], server)


def at(code: str, server: Serving) -> str:
    assert ADDRESS in code
    return code.replace(ADDRESS, server.url)


def printed_by(environment: str, code: str) -> str:
    """What a snippet prints in an environment that has a vendor's client."""
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"scripts/sdk_env.sh {environment} was not run; `make test` runs it")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("environment", ["current", "cohere5"])
@pytest.mark.parametrize("page", COHERE)
def test_snippets_of_cohere_s_client(page: str, environment: str, server: Serving) -> None:
    """As they stand, with the newest client and the oldest."""
    (code,) = re.findall(r"```python\n(import cohere\n.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert printed_by(environment, at(code, server)) == "1\n"


def test_voyage_s_client(server: Serving) -> None:
    """As it stands, with the client itself."""
    assert printed_by("current", block("Voyage", "python", server)) == "[1, 2]\n"


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
