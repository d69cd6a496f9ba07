"""How a page of the repository becomes one of the site: links, drawings, includes, charts; what cannot is an error."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from docblocks import DOCS, blocks

SCRIPTS = DOCS.parent / "scripts" / "docs"
Made = Callable[[str], str]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The page guides/a.md of a repository that has some more files, by its text."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "pages", raising=False)
    from pages import page_of

    (tmp_path / "docs" / "guides").mkdir(parents=True)
    (tmp_path / "docs" / "b.md").write_text("# B\n")
    (tmp_path / "docs" / "c.svg").write_text('<svg viewBox="0 0 300 9"><style>.x { }</style>\n\n<g/></svg>')
    table = "| what | ms |\n|---|---:|\n| **us** | 5 |\n| they | 1,000 |\n"
    (tmp_path / "TOP.md").write_text(f"# T\n\n## Figures\n\n[b](docs/b.md)\n\n{table}\n## Else\n")
    places = {"docs/b.md": "b.md", "TOP.md": "top.md", "docs/guides/a.md": "guides/a.md"}

    def call(text: str) -> str:
        source = tmp_path / "docs" / "guides" / "a.md"
        source.write_text(text)
        return page_of(source, tmp_path, "guides/a.md", places)

    return call


def test_links_lead_to_the_site_s_pages(made: Made) -> None:
    """Places on pages and addresses stay; a link in code is code."""
    assert made("[x](../b.md#y) [t](../../TOP.md) [w](https://a.b) [h](#here)") == (
        "[x](../b.md#y) [t](../top.md) [w](https://a.b) [h](#here)"
    )
    assert made("[the drawing](../c.svg)") == "the drawing (`docs/c.svg`)"  # in the repository, not on the site
    code = "```\n[x](nowhere.md)\n```\n"
    assert made(code) == code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x](nowhere.md)", "which is not there"),
        ("<!-- include TOP.md: Nothing -->", "has no section 'Nothing'"),
        ("<!-- bars TOP.md: Figures: s: Seconds -->", "no table with the column 's'"),
    ],
)
def test_what_cannot_be_shown_is_an_error(made: Made, text: str, said: str) -> None:
    """It says which page and what."""
    with pytest.raises(ValueError, match=said):
        made(text)


def test_a_drawing_is_put_in_line_without_its_own_colours(made: Made) -> None:
    """In one block of HTML: an empty line would end it."""
    drawn = made("![What it shows](../c.svg)")
    assert drawn.startswith('<figure class="drawing narrow" role="img" aria-label="What it shows">')
    assert "<style>" not in drawn
    assert "\n\n" not in drawn


def test_a_section_of_another_file_is_put_in_with_its_links(made: Made) -> None:
    """As seen from where it is read."""
    page = made("<!-- include TOP.md: Figures -->\n")
    assert "[b](../b.md)" in page
    assert "| **us** | 5 |" in page
    assert "Else" not in page


def test_bars_are_as_long_as_their_figures(made: Made) -> None:
    """The largest is the whole width; what is bold in the table stands out."""
    chart = made("<!-- bars TOP.md: Figures: ms: Less is better -->")
    assert '<li class="own"><span>us</span><i><b style="width: 0.5%"></b></i><em>5</em></li>' in chart
    assert '<li><span>they</span><i><b style="width: 100.0%"></b></i><em>1,000</em></li>' in chart


def test_blocks_are_read_by_their_conventions() -> None:
    """Output, files, commands, and what is left out."""
    page = (
        "`a.csv`:\n\n```csv\nx\n```\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "<!-- not run: it would cost money -->\n```console\n$ one \\\n  two\nout\n$ three\n```\n"
    )
    data, code, console = blocks(page)
    assert (data.file, data.code) == ("a.csv", "x\n")
    assert (code.shown, code.not_run, code.line) == ("1\n", None, 7)
    assert console.not_run == "it would cost money"
    assert console.commands == [("one \\\n  two", "out\n"), ("three", "")]


def test_bars_of_several_columns_stand_together(made: Made) -> None:
    """A group a row; here the bold column stands out, and a row that lacks a figure is left out."""
    page = "| set | BM25 | **us** |\n|---|---:|---:|\n| one | 0.5 | **1.0** |\n| two | | 0.8 |\n"
    chart = made(f"# A\n\n## Mine\n\n{page}\n<!-- bars docs/guides/a.md: Mine: BM25, us: More is better -->")
    assert '<i><b style="width: 50.0%"></b><em>0.5 BM25</em></i>' in chart
    assert '<i class="own"><b style="width: 100.0%"></b><em>1.0 us</em></i>' in chart
    assert "<span>two</span>" not in chart
