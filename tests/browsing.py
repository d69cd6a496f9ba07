"""A headless Chromium for tests, and what they ask of a page: Debian's, which scripts/system_packages.sh installs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 60_000
QUERY = "Who created Python?"
TEXTS = ["Snakes eat mice.", "Ruby is by Matz.", "Guido van Rossum created Python 😀 in 1991."]


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}; `make system-tests` installs it where it can")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"], timeout=2 * WAIT_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: "Browser", url: str, **options: Any) -> Iterator["Page"]:
    """A page of its own, without anybody's storage; what its console complains of fails the test.

    Its attribute `complaints` can be emptied by a test that expects some.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.complaints = complaints  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.add_init_script(
        "window.animated = 0; const animate = Element.prototype.animate;"
        "Element.prototype.animate = function (...given) { window.animated++; return animate.apply(this, given); }"
    )
    try:
        page.goto(url)
        yield page
        assert complaints == []
    finally:
        context.close()


def ask(page: "Page", query: str = QUERY, texts: list[str] = TEXTS) -> None:
    """Fill the playground's form and rank."""
    page.get_by_label("Query").fill(query)
    page.get_by_label("Documents, one a line").fill("\n".join(texts))
    page.get_by_role("button", name="Rank", exact=True).click()
    page.locator("#form:not([aria-busy])").wait_for()


def assert_count(page: "Page", selector: str, number: int) -> None:
    """So many elements are there, or will be soon."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(number, timeout=WAIT_MS)


def column(page: "Page", name: str) -> list[str]:
    """The texts of a column's rows, from top to bottom."""
    return page.get_by_role("region", name=name).locator(".text").all_inner_texts()
