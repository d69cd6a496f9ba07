"""The numbers and options on the pages on documents, long documents and instructions are those of the code."""

import re
from pathlib import Path

import pytest

from crossrank.cli.rank import command
from crossrank.documents.texts import NESTING_MAX
from crossrank.engine.cut import OVERLAP_SHARE, WINDOWS_MAX
from crossrank.engine.options import CHOICES

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("documents.md", "instructions.md", "long-documents.md")


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_the_values_of_options_are_all_there() -> None:
    """Those of the code, and their defaults."""
    page = read("long-documents.md")
    for value in CHOICES["long_documents"]:
        assert f'`long_documents="{value}"`' in page
    assert f"`windows_max={WINDOWS_MAX}`" in page
    assert OVERLAP_SHARE == 8
    assert f"nested deeper than {NESTING_MAX} levels" in read("documents.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_options_of_the_command_line_exist(page: str) -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", read(page)))
    assert named
    assert named <= options
