"""The playground in a headless Chromium: every control, errors, many documents, hostile ones, accessibility."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browsing import QUERY, TEXTS, WAIT_MS, ask, assert_count, column, page_of
from crossrank import Reranker
from serving import FakeRanker, Reusable, Serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-of-the-test"


@pytest.fixture(scope="module")
def server(bundled: Reranker) -> Iterator[Serving]:
    """The bundled model, and another that counts letters and explains nothing."""
    mini = Reusable(bundled)
    with Serving(lambda spec: mini if spec == "mini" else FakeRanker(spec), model=("mini", "letters")) as server:
        yield server


@pytest.fixture
def page(browser: "Browser", server: Serving) -> Iterator["Page"]:
    with opened(browser, server) as page:
        page.locator("#model option").first.wait_for(state="attached")  # it asks for them when it is there
        yield page


def opened(browser: "Browser", server: Serving, **options: Any) -> AbstractContextManager["Page"]:
    return page_of(browser, server.url, **options)


def test_before_and_after_stand_side_by_side(page: "Page") -> None:
    """Places, movements, score bars, tokens, the time of each stage; the rows that moved were animated."""
    ask(page)
    assert column(page, "As given") == TEXTS
    after = page.get_by_role("region", name="Reranked by mini")
    assert column(page, "Reranked by mini")[0] == TEXTS[2]
    first = after.locator("li").first
    assert re.search(r"score 0\.\d{4}\s*▲up 2\s*\d+ tokens", first.locator(".facts").text_content() or "")
    assert float(first.locator(".bar span").evaluate("bar => parseFloat(bar.style.width)")) > 50
    told = after.locator("dl").inner_text()
    assert all(word in told for word in ("tokens", "queue", "tokenize", "run", "total", "round trip"))
    assert page.evaluate("animated") >= 2
    assert "3 documents ranked in" in page.get_by_role("status").inner_text()
    before = page.get_by_role("region", name="As given").locator("li")
    first.hover()
    assert_count(page, ".given li.partner", 1)
    assert "partner" in (before.nth(2).get_attribute("class") or "")


def test_who_wants_no_motion_sees_none(browser: "Browser", server: Serving) -> None:
    """prefers-reduced-motion is honoured."""
    with opened(browser, server, reduced_motion="reduce") as page:
        ask(page)
        assert column(page, "Reranked by mini")[0] == TEXTS[2]
        assert page.evaluate("animated") == 0


def test_the_sample_is_ranked_by_its_fields(page: "Page") -> None:
    """26 documents with fields; Ctrl+Enter ranks; the best is the amendment that was meant."""
    page.get_by_role("button", name="Load the sample").click()
    page.get_by_text("26 documents, 26 with fields.").first.wait_for()
    assert page.get_by_label("Fields that are read").input_value() == "title, text"
    page.get_by_label("Query").press("Control+Enter")
    page.get_by_role("region", name="Reranked by").wait_for()
    assert column(page, "Reranked by mini")[0].startswith("Eighteenth Amendment")
    assert (ROOT / "examples" / "amendments.jsonl").read_bytes().count(b"\n") == 26


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.txt", "one\r\n\r\ntwo\n", ["one", "two"]),
        ("a.jsonl", '{"text": "one", "n": 1}\n"two\\nlines"\n', ['{"text":"one","n":1}', "two lines"]),
        ("a.json", '["one", {"text": "two"}]', ["one", '{"text":"two"}']),
        (
            "a.csv",
            'title,text\r\na,"one, ""1"""\nb,two\n',
            ['{"title":"a","text":"one, \\"1\\""}', '{"title":"b","text":"two"}'],
        ),
        ("A.CSV", "\ufefftext\none\n\ntwo", ["one", "two"]),
    ],
)
@pytest.mark.parametrize("how", ["opened", "dropped"])
def test_files_are_read(page: "Page", name: str, content: str, lines: list[str], how: str) -> None:
    """Opened with the button or dropped on the documents."""
    if how == "opened":
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name="Open a file").click()
        chosen.value.set_files({"name": name, "mimeType": "text/plain", "buffer": content.encode()})
    else:
        page.evaluate(
            """([name, content]) => {
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File([content], name));
                const place = document.querySelector("#documents");
                for (const kind of ["dragover", "drop"])
                    place.dispatchEvent(new DragEvent(kind, {dataTransfer, bubbles: true}));
            }""",
            [name, content],
        )
    page.get_by_role("status").get_by_text(f"{name}: ").wait_for()
    assert page.get_by_label("Documents, one a line").input_value().split("\n") == lines


def test_a_file_that_is_none_is_said_to_be(page: "Page") -> None:
    """Its name and what is wrong, as an alert; the documents stay."""
    page.get_by_label("Documents, one a line").fill("kept")
    page.locator("#file").set_input_files({"name": "b.jsonl", "mimeType": "text/plain", "buffer": b"{nothing"})
    page.get_by_role("alert").get_by_text("b.jsonl cannot be read").wait_for()
    assert page.get_by_label("Documents, one a line").input_value() == "kept"


def test_a_hit_explains_itself(page: "Page") -> None:
    """Words tinted by their share, in the text as it is read, emoji and all; sentences on demand; it closes again."""
    ask(page)
    hit = page.locator("button.hit").first
    hit.click()
    panel = page.locator(".explanation").first
    panel.locator("mark").first.wait_for()
    assert panel.locator("p").first.inner_text() == TEXTS[2]
    marks = {mark.inner_text(): mark for mark in panel.locator("mark").all()}
    strength = {
        text: float(mark.evaluate("mark => mark.style.getPropertyValue('--strength')")) for text, mark in marks.items()
    }
    assert max(strength, key=strength.__getitem__) == "Python"
    assert strength["Python"] == 1
    assert marks["Python"].evaluate("mark => getComputedStyle(mark).backgroundColor") != "rgba(0, 0, 0, 0)"
    assert re.fullmatch(r"\+\d\.\d\d", marks["Python"].get_attribute("title") or "")
    assert "Python +" in page.get_by_role("status").inner_text()
    page.get_by_label("sentences").check()
    assert_count(page, ".explanation mark", 1)
    hit.click()
    assert panel.is_hidden()
    assert hit.get_attribute("aria-expanded") == "false"


def test_two_models_are_compared(page: "Page") -> None:
    """Each with its column, tokens and times; how far they agree is said; one that explains nothing says so."""
    page.get_by_label("Compare with").select_option("letters")
    ask(page)
    assert sorted(column(page, "Reranked by letters")) == sorted(TEXTS)
    assert column(page, "Reranked by mini")[0] == TEXTS[2]
    assert page.get_by_text(
        re.compile(r"Kendall's tau of −?\d\.\d\d, with (the same|another) document first")
    ).is_visible()
    page.get_by_role("region", name="Reranked by letters").locator("button.hit").first.click()
    page.get_by_role("alert").get_by_text("explains nothing").wait_for()
    page.complaints.clear()  # type: ignore[attr-defined]
    page.get_by_label("Compare with").select_option("")
    page.get_by_label("Model").select_option("letters")
    ask(page)
    assert page.get_by_role("region", name="Reranked by mini").count() == 0


def test_what_is_missing_is_asked_for(page: "Page") -> None:
    """As an alert, with the focus where it is missing."""
    page.get_by_role("button", name="Rank", exact=True).click()
    assert page.get_by_role("alert").inner_text() == "Write a query first."
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("q")
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text().startswith("Give some documents first")
    assert page.evaluate("document.activeElement.id") == "documents"


def test_a_refusal_is_shown_in_the_server_s_words(browser: "Browser") -> None:
    """What is wrong, when to come again, the request's id; a server that is gone is said to be."""
    with Serving(documents_max=2) as server, opened(browser, server) as page:
        ask(page)
        said = page.get_by_role("alert").inner_text()
        assert re.search(r"the call has 3 documents; 2 are taken.*\(Request \w+\)", said)
        ask(page, texts=["a", "b"])
        assert page.get_by_role("alert").count() == 0
        page.context.set_offline(True)
        ask(page)
        assert page.get_by_role("alert").inner_text() == "The server cannot be reached. Is it still running?"
        page.complaints.clear()  # type: ignore[attr-defined]


def test_two_hundred_documents(page: "Page") -> None:
    """All are there, in both columns, with one that moved to the top."""
    texts = [f"Amendment {number} is about nothing." for number in range(199)] + [TEXTS[2]]
    ask(page, texts=texts)
    assert column(page, "As given") == texts
    after = column(page, "Reranked by mini")
    assert after[0] == TEXTS[2]
    assert sorted(after) == sorted(texts)
    assert "up 199" in (page.locator(".hit .facts").first.text_content() or "")


def test_no_document_becomes_markup(page: "Page") -> None:
    """Not in a row, an explanation, a message or the code; no script of a document runs."""
    hostile = [
        "<img src=x onerror='window.hacked=1'> Guido created Python",
        "</ol><script>window.hacked=1</script>",
        '{"text": "<svg onload=window.hacked=1>", "<b>name</b>": "\\"><iframe srcdoc=x>"}',
        "javascript:window.hacked=1",
        "JSON\nJSON' && touch /tmp/hacked $(touch /tmp/hacked)",
    ]
    page.get_by_text("Copy as code").click()
    ask(page, "<img src=x onerror=window.hacked=1>", hostile)
    for button in page.locator("button.hit").all():
        button.click()
    assert_count(page, ".strongest", len(hostile) + 1)  # one of them has two lines
    assert hostile[0] in column(page, "As given")
    for name in ("img", "svg", "iframe", "script:not([src])", "b"):
        assert page.locator(f"body {name}").count() == 0, name
    assert page.evaluate("window.hacked") is None


def test_markup_is_refused_by_the_page_s_policy(page: "Page") -> None:
    """Were the script ever to make markup of a text, the browser would not have it."""
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch { return true; } }"
    )
    page.complaints.clear()  # type: ignore[attr-defined]
    assert refused


def test_a_key_is_asked_for_and_kept_in_this_tab(browser: "Browser") -> None:
    """A panel opens where the server wants one; a wrong key is said to be; the right one is in no lasting storage."""
    with Serving(environ={"CROSSRANK_API_KEY": KEY}) as server, opened(browser, server) as page:
        page.get_by_role("alert").get_by_text("This server wants an API key.").wait_for()
        field = page.get_by_label("API key of this server")
        assert field.evaluate("field => field === document.activeElement && field.type === 'password'")
        field.fill("two words")
        field.press("Enter")
        page.get_by_role("alert").get_by_text("A key has no spaces").wait_for()
        field.fill("wrong")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("alert").get_by_text("The server does not know this key.").wait_for()
        field.fill(KEY)
        page.get_by_role("button", name="Use it").click()
        page.locator("#model option").wait_for(state="attached")
        assert field.is_hidden()
        ask(page)
        assert len(column(page, "Reranked by fake")) == 3
        assert KEY not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        assert KEY in page.evaluate("JSON.stringify(sessionStorage)")
        page.get_by_text("Copy as code").click()
        page.locator("#snippet").get_by_text("$CROSSRANK_API_KEY").wait_for()
        assert KEY not in page.content()
        page.get_by_role("button", name="API key").click()
        page.get_by_role("button", name="Forget it").click()
        assert KEY not in page.evaluate("JSON.stringify(sessionStorage)")
        page.complaints.clear()  # type: ignore[attr-defined]


def test_the_theme_is_the_system_s_or_chosen(browser: "Browser", server: Serving) -> None:
    """Dark where the system is; the button goes from auto to light to dark, and the choice outlives the page."""
    with opened(browser, server, color_scheme="dark") as page:
        shade = "parseInt(getComputedStyle(document.body).backgroundColor.slice(4))"
        assert page.evaluate(shade) < 60
        button = page.get_by_role("button", name="Theme")
        button.click()
        assert button.inner_text() == "Theme: light"
        assert page.evaluate(shade) > 200
        page.reload()
        assert page.get_by_role("button", name="Theme: light").is_visible()
        page.get_by_role("button", name="Theme: light").click()
        assert page.evaluate(shade) < 60


def test_all_of_it_can_be_done_with_the_keyboard(page: "Page") -> None:
    """Tab goes through the controls as they stand; arrows go through the hits, Enter explains one."""

    def tab() -> str:
        page.keyboard.press("Tab")
        focused = "(({id, className, name, tagName}) => id || className || name || tagName)(document.activeElement)"
        return str(page.evaluate(focused))

    assert [tab() for _ in range(5)] == ["skip", "key-open", "theme", "quiet", "query"]
    page.keyboard.type(QUERY)
    assert tab() == "documents"
    page.keyboard.insert_text("\n".join(TEXTS))
    page.keyboard.press("Control+Enter")
    page.locator(".hit").first.wait_for()
    assert [tab() for _ in range(5)] == ["model", "other", "rank", "sample", "file-open"]
    assert [tab() for _ in range(5)] == ["unit", "hit", "hit", "hit", "SUMMARY"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.locator(".explanation mark").first.wait_for()
    assert page.locator(".hit").nth(1).get_attribute("aria-expanded") == "true"


def test_a_proxy_may_serve_it_below_a_prefix(browser: "Browser") -> None:
    """All that the page asks for is beside it."""
    with Serving(root_path="/ai") as server, opened(browser, server) as page:
        page.route("**/ai/**", lambda route: route.continue_(url=route.request.url.replace("/ai/", "/", 1)))
        page.goto(f"{server.url}/ai/")
        ask(page)
        assert len(column(page, "Reranked by fake")) == 3
        page.get_by_text("Copy as code").click()
        page.locator("#snippet").get_by_text(f"{server.url}/ai/v1/rerank").wait_for()


def test_an_answer_that_nobody_waits_for_is_not_shown(browser: "Browser") -> None:
    """Pressed again while the server works: the first call is given up, the second is shown."""
    with Serving() as server, opened(browser, server) as page:
        server.ranker.held = True
        page.get_by_label("Query").fill("ab")
        page.get_by_label("Documents, one a line").fill("a\nb")
        page.get_by_role("button", name="Rank", exact=True).click()
        assert server.ranker.came.acquire(timeout=WAIT_MS / 1000)
        assert page.get_by_role("status").inner_text() == "Ranking …"
        server.ranker.held = False
        ask(page, texts=["ab", "c"])
        assert server.ranker.cancelled.acquire(timeout=WAIT_MS / 1000)
        assert column(page, "Reranked by fake") == ["ab", "c"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_serious_fault(browser: "Browser", server: Serving, scheme: str, width: int) -> None:
    """With two rankings, an explanation, code, the key's panel and an error on the page; nothing is cut off."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    size = {"width": width, "height": 900}
    with opened(browser, server, color_scheme=scheme, viewport=size, reduced_motion="reduce", bypass_csp=True) as page:
        page.get_by_label("Compare with").select_option("letters")
        ask(page)
        page.locator("button.hit").first.click()
        page.locator("mark").first.wait_for()
        page.get_by_text("Copy as code").click()
        page.get_by_role("button", name="API key").click()
        page.locator("#file").set_input_files({"name": "b.json", "mimeType": "text/plain", "buffer": b"{"})
        page.get_by_role("alert").wait_for()
        found = axe.Axe().run(page).response["violations"]
        faults = {fault["id"]: [node["html"] for node in fault["nodes"]] for fault in found}
        assert faults == {}
        assert page.evaluate("document.documentElement.scrollWidth") == width
