"""The guides are true: the Python blocks of each page run as written, in order, in one session."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
# What each page prints, as far as it is the same on every machine.
PAGES = {
    "concurrency.md": [
        "Guido van Rossum created the Python programming language in 1991.",
        "[1, 2]",
        "(3,)",
        "Guido van Rossum",
    ],
    "devices.md": ["Guido van Rossum", "True", "True"],
    "composition.md": ["1 crossrank-mini Guido", "3 words", "None", "1"],
}


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_guide_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a network, and they print what the text says."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    printed = capsys.readouterr().out
    for line in PAGES[page]:
        assert line in printed
        printed = printed[printed.index(line) + len(line) :]


def test_links_lead_somewhere() -> None:
    """From every page of docs/, to files that exist."""
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!http|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
