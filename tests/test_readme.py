"""What README shows runs as it is written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = ("BAAI/", "import cohere")  # a download; a vendor's client, which tests/test_server_docs.py runs


def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run in order, in one session, but for those that need what is not here."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        if not any(part in block for part in ELSEWHERE):
            exec(compile(block, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    for line, printed in zip(shown.splitlines(), lines, strict=False):
        (rank, score, *rest), (its_rank, its_score, *its_rest) = line.split(" "), printed.split(" ")
        assert (rank, rest) == (its_rank, its_rest)
        assert float(score) == pytest.approx(float(its_score), abs=0.02)  # precisions differ
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
        timeout=120,
    )
    assert "Eighteenth Amendment" in done.stdout.splitlines()[0]
    shown = README[README.index("$ crossrank") :].split("```")[0]
    for line, printed in zip(re.findall(r"^\d  0.*", shown, re.MULTILINE), done.stdout.splitlines(), strict=True):
        rank, score, *_ = line.split()
        assert (rank, float(score)) == (printed[0], pytest.approx(float(printed.split("\t")[1]), abs=0.02))


def test_linked_files_exist() -> None:
    """Links to files lead somewhere."""
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page} links to {target}"
