"""The code that the playground shows of a ranking: it runs as it stands, in each language."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import ask, page_of
from crossrank import Reranker
from serving import Reusable, Serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-of-the-test"


@pytest.fixture(scope="module")
def server(bundled: Reranker) -> Iterator[Serving]:
    mini = Reusable(bundled)
    with Serving(lambda _: mini, model=("mini",)) as server:
        yield server


@pytest.fixture
def page(browser: "Browser", server: Serving) -> Iterator["Page"]:
    with page_of(browser, server.url) as page:
        page.locator("#model option").first.wait_for(state="attached")  # it asks for them when it is there
        yield page


@pytest.mark.parametrize("language", ["curl", "jina", "tei", "python", "cohere", "voyage"])
def test_copied_code_runs(page: "Page", language: str) -> None:
    """As it stands, with texts that shells and Python could stumble over; its first result is the page's."""
    texts = [
        'It\'s a "snake" $HOME `ls`',
        "new\\nline",
        '{"text": "Guido created Python", "year": 1991, "live": true, "end": null}',
    ]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("Copy as code").click()
    page.get_by_label("Language").select_option(language)
    ask(page, texts=texts)
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("button", name="Copied").wait_for()
    code = page.evaluate("navigator.clipboard.readText()")
    out = run(language, code)
    if language in ("curl", "jina", "tei"):
        said = json.loads(out)
        assert (said if language == "tei" else said["results"])[0]["index"] == 2
    else:
        assert re.match(r"(1 [\d.]+ 2|2 [\d.]+)\n", out)


@pytest.mark.parametrize("language", ["curl", "python", "cohere", "voyage"])
def test_code_has_a_model_while_none_is_known(browser: "Browser", language: str) -> None:
    """As long as the server has not said which there are."""
    with Serving(environ={"CROSSRANK_API_KEY": KEY}) as server, page_of(browser, server.url) as page:
        page.get_by_role("alert").get_by_text("This server wants an API key.").wait_for()
        page.get_by_text("Copy as code").click()
        page.get_by_label("Language").select_option(language)
        page.locator("#snippet").get_by_text("crossrank-mini").wait_for()
        assert "undefined" not in page.locator("#snippet").inner_text()
        page.complaints.clear()  # type: ignore[attr-defined]


def run(language: str, code: str) -> str:
    """What a program or command prints."""
    environment = {"cohere": "current", "voyage": "current"}.get(language)
    python = sys.executable if environment is None else str(ROOT / f".venv-{environment}" / "bin" / "python")
    if not Path(python).exists():
        pytest.skip("scripts/sdk_env.sh was not run; `make test` runs it")
    command = ["bash", "-c", code] if language in ("curl", "jina", "tei") else [python, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout
