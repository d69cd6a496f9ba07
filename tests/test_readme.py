"""What README shows runs as it is written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NEEDS_A_HUB = "BAAI/"


def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run in order, in one session; those that need a download are for the hub's tests."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        if NEEDS_A_HUB not in block:
            exec(compile(block, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("Guido van Rossum created the Python programming language in 1991.")
    assert names["best"][0]["corpus_id"] == 1


def test_console_block_runs() -> None:
    """The command of the first section ranks the shipped documents, the amendment in question first."""
    (command,) = re.findall(r"\$ crossrank (.*)", README)
    arguments = [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', command)]
    done = subprocess.run(
        [sys.executable, "-m", "crossrank", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Eighteenth Amendment" in done.stdout.splitlines()[0]


def test_linked_files_exist() -> None:
    """Links to files lead somewhere."""
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page} links to {target}"
