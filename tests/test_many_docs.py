"""docs/many-queries.md is true: its files and commands work, and its block of Python prints what it should."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from crossrank.bulk.output import ENDING
from crossrank.cli.bulk_options import TREC
from crossrank.cli.main import cli, run

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "many-queries.md").read_text(encoding="utf-8")


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On the page's files, with what the page says they print; given again, they do nothing."""
    monkeypatch.chdir(tmp_path)
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE):
        Path(name).write_text(content, encoding="utf-8")
    commands = re.findall(r"\$ crossrank (.*)\n(.*)\n", TEXT)
    assert len(commands) == 2
    for command, printed in commands:
        assert run(partial(cli.main, command.split(), standalone_mode=False)) == 0
        assert capsys.readouterr() == ("", f"{printed}\n")
    assert [line.split()[2] for line in Path("ranked.trec").read_text().splitlines()] == ["d1", "d2", "d3", "d1"]
    for command, printed in commands:
        assert run(partial(cli.main, command.split(), standalone_mode=False)) == 0
        assert capsys.readouterr() == ("", f"{printed}, 2 of them before\n")
    first, second = map(json.loads, Path("ranked.jsonl").read_text().splitlines())
    assert [(line["query_id"], line["hits"][0]["id"]) for line in (first, second)] == [("q1", "d1"), ("q2", "d3")]
    (told,) = re.findall(r"A line of JSON holds (.*?); the texts", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told)) == {*first, *first["hits"][0]}


def test_the_block_of_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the best of each query."""
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block, "docs/many-queries.md", "exec"), {})
    assert [line[:10] for line in capsys.readouterr().out.splitlines()] == ["Python was", "The Eiffel"]


def test_names_are_those_of_the_code() -> None:
    """Of the file beside the output, and of endings that mean a run."""
    assert f"`FILE{ENDING}`" in TEXT
    assert " and ".join(f"`{ending}`" for ending in TREC) in TEXT
