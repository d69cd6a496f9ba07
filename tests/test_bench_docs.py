"""What docs/benchmarks.md shows runs, and its options are those of the command."""

import re
from pathlib import Path

import pytest

from crossrank.cli.bench import command

PAGE = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "benchmarks.md", "exec"), {})
    assert re.fullmatch(r"crossrank-mini 2 \w+ [\d.]+ ms\n", capsys.readouterr().out)


def test_every_option_in_the_page_exists() -> None:
    """Of the commands that it shows."""
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for line in re.findall(r"^    crossrank bench (.*?)(?:#.*)?$", PAGE, re.MULTILINE):
        assert set(re.findall(r"--[\w-]+", line)) <= known
