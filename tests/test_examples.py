"""The examples run as they are, offline, on the bundled model, and find what they look for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("rag_*.py"))
LINES_MAX = 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_runs(file: Path) -> None:
    """In a process of its own; short enough to be read at a glance."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES_MAX
    environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [sys.executable, file], capture_output=True, text=True, check=False, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Eighteenth Amendment" in done.stdout


def test_every_framework_has_one() -> None:
    """One file each."""
    assert [file.stem.removeprefix("rag_") for file in FILES] == [
        "fastapi",
        "haystack",
        "lancedb",
        "langchain",
        "llamaindex",
    ]


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells in order, in one session."""
    monkeypatch.chdir(EXAMPLES)
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in json.loads((EXAMPLES / "rag.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert "1 " in capsys.readouterr().out
    assert "Eighteenth Amendment" in names["ranking"][0].text
    names["index_folder"].cleanup()
