"""Makes the pictures of the playground in docs/ from a running server: scripts/playground_pictures.py URL."""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDE = {"viewport": {"width": 1200, "height": 1150}}
MOBILE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "is_mobile": True, "has_touch": True}
PICTURES = {
    "playground-light": ({**WIDE, "color_scheme": "light"}, "#form"),
    "playground-dark": ({**WIDE, "color_scheme": "dark"}, "#results"),
    "playground-mobile": ({**MOBILE, "color_scheme": "light"}, "#results"),
}


def main(url: str) -> None:
    """One picture after the other; dark compares two models where two are served."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for name, (look, top) in PICTURES.items():
            page = browser.new_page(reduced_motion="reduce", **look)
            page.goto(url)
            page.locator("#model option").first.wait_for(state="attached")
            page.get_by_role("button", name="Load the sample").click()
            page.locator("#fields-part").wait_for()
            others = page.locator("#other option").all()
            if "dark" in name and len(others) > 1:
                page.locator("#other").select_option(index=len(others) - 1)
            page.get_by_role("button", name="Rank", exact=True).click()
            page.locator(".hit").first.click()
            page.locator("mark").first.wait_for()
            page.mouse.move(0, 0)
            page.locator(top).evaluate("place => scrollTo(0, place.getBoundingClientRect().top + scrollY - 16)")
            Image.open(BytesIO(page.screenshot())).save(DOCS / f"{name}.webp", quality=68, method=6)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
