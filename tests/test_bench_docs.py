"""The options that docs/benchmarks.md shows are those of the command; tests/test_docs.py runs its example."""

import re
from pathlib import Path

from crossrank.cli.bench import command

PAGE = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_option_in_the_page_exists() -> None:
    """Of the commands that it shows."""
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for line in re.findall(r"^    crossrank bench (.*?)(?:#.*)?$", PAGE, re.MULTILINE):
        assert set(re.findall(r"--[\w-]+", line)) <= known
