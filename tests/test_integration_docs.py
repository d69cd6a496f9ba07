"""The guides of integrations and of search are true: each begins with one changed import, and its blocks run."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
# What each page prints, in order, as far as it is the same on every machine.
PAGES = {
    "integrations/sentence-transformers.md": ["(3,) float32\n1 Guido", "1 ['content', 'id', 'score']"],
    "integrations/langchain.md": ["b 1991 float", "b\n", "2\n"],
    "integrations/lancedb.md": ["1 ['n', 'text', 'vector', '_relevance_score']", "1\n"],
    "integrations/llamaindex.md": ["b\n0.9"],
    "integrations/haystack.md": ["b\n"],
    "search.md": ["1 2 ", "{'mine': 2}", "['bm25', 'mine']", "0.9"],
}


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, in one session."""
    names: dict[str, object] = {"__name__": "guide"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    printed = capsys.readouterr().out
    for line in PAGES[page]:
        assert line in printed
        printed = printed[printed.index(line) + len(line) :]


def test_every_integration_begins_with_one_changed_import() -> None:
    """The first block is a diff of one line for one line, and the first example makes that very import."""
    pages = sorted((DOCS / "integrations").glob("*.md"))
    assert {f"integrations/{page.name}" for page in pages} == {page for page in PAGES if "/" in page}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        first, example = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)[:2]
        old, new = first.splitlines()
        assert old.startswith("-from ")
        assert new.startswith("+from ")
        assert new[1:] in example
