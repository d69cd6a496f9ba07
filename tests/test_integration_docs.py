"""The guides of integrations begin with one changed import; that their blocks run, tests/test_docs.py sees to."""

import re

from docblocks import DOCS


def test_every_integration_begins_with_one_changed_import() -> None:
    """The first block is a diff of one line for one line, and the first example makes that very import."""
    pages = sorted((DOCS / "integrations").glob("*.md"))
    assert len(pages) == 4
    for page in pages:
        text = page.read_text(encoding="utf-8")
        first, example = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)[:2]
        old, new = first.splitlines()
        assert old.startswith("-from ")
        assert new.startswith("+from ")
        assert new[1:] in example
