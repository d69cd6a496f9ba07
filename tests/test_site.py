"""The documentation's site builds without a warning, is whole, loads nothing from elsewhere, and fits a telephone."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import crossrank
from browsing import chromium, page_of
from crossrank.cli.group import COMMANDS, cli
from docblocks import DOCS

pytest.importorskip("zensical")
ROOT = DOCS.parent
BUILD_S = 280
READ = ("index", "concepts", "architecture", "performance", "models", "cli/rank", "reference/crossrank", "faq")
TELEPHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: `make docs`, into a folder of the test's."""
    out = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs", "--out", out],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "site"


class Page(HTMLParser):
    """What a page names, links to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.names |= {str(said[key]) for key in ("id", "name") if said.get(key)}
        if tag == "a" and said.get("href"):
            self.links.append(str(said["href"]))
        if said.get("src"):
            self.loads.append(str(said["src"]))
        if tag == "link" and said.get("href") and said.get("rel") != "canonical":
            self.loads.append(str(said["href"]))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_links_and_pictures_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    """Within the site: to files that are there, and places on pages that are there."""
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses are those of the server's root
            continue
        for target in (*page.links, *page.loads):
            there = urlsplit(target)
            if there.scheme:
                continue
            file = (path.parent / unquote(there.path)).resolve() if there.path else path
            file = file / "index.html" if file.is_dir() else file
            named = there.fragment in ("", "__skip") or file not in pages or there.fragment in pages[file].names
            if not file.is_file() or not named:
                broken.append(f"{path.relative_to(site)}: {target}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    """No script, style, font or picture has an address; style sheets name none either."""
    assert [load for page in pages.values() for load in page.loads if urlsplit(load).scheme not in ("", "data")] == []
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8")


def test_every_command_has_its_page_with_all_options(site: Path) -> None:
    """One that is added gets it by itself."""
    for name in COMMANDS:
        text = (site / "cli" / f"{name}.html").read_text(encoding="utf-8")
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in text, f"{name} {parameter.opts}"


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = Page(site / "reference" / "crossrank.html")
    assert {name.lower() for name in crossrank.__all__ if not name.startswith("__")} <= page.names


def test_what_pages_import_is_in_the_reference(site: Path) -> None:
    """So it is public; but for what docs/stability.md says is not."""
    (told,) = re.findall(r"even where an example .*? uses one \((.*?)\)", (DOCS / "stability.md").read_text("utf-8"))
    private = tuple(re.findall(r"`(.*?)`", told))
    imported = {
        (page.name, module)
        for page in DOCS.rglob("*.md")
        for module in re.findall(r"^from (crossrank[\w.]*) import", page.read_text("utf-8"), re.MULTILINE)
        if not module.startswith(private)
    }
    there = {page.stem for page in (site / "reference").glob("*.html")}
    assert sorted((page, module) for page, module in imported if module.replace(".", "-") not in there) == []


def test_pages_fit_a_telephone(site: Path) -> None:
    """Opened from the disk: nothing is wider than the screen, and the browser complains of nothing."""
    with chromium() as browser:
        for name in READ:
            with page_of(browser, f"file://{site / name}.html", **TELEPHONE) as page:
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_drawings_follow_the_page_s_colours(site: Path) -> None:
    """Dark on light, light on dark."""

    def ink(scheme: str) -> int:
        with page_of(browser, f"file://{site / 'concepts.html'}", color_scheme=scheme) as page:
            colour = page.locator(".drawing .text").first.evaluate("place => getComputedStyle(place).fill")
            return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])

    with chromium() as browser:
        assert ink("light") < 200 < 500 < ink("dark")


def test_search_works_from_the_disk(site: Path) -> None:
    """Without a server and without a network."""
    with chromium() as browser, page_of(browser, f"file://{site / 'index.html'}") as page:
        page.locator("[data-md-component=search] button").first.click()
        page.get_by_role("combobox", name="Search").press_sequentially("deadline_s")
        page.get_by_text("Async, many callers").last.wait_for()


def test_drawings_stand_alone_too() -> None:
    """Where a page is read in the repository: they have a style for light and for dark."""
    for drawing in DOCS.glob("*.svg"):
        assert "prefers-color-scheme: dark" in drawing.read_text(encoding="utf-8"), drawing
