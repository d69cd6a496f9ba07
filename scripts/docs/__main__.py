"""Builds the documentation: `python scripts/docs [--out FOLDER]`. Any warning is a failure.

Pages are gathered in `build/docs` (those of docs/, files of the repository, the reference, the command line), and the
site generator makes `build/site` of them: a folder that can be read from the disk, without a network.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from commands import command_pages
from nav import AWAITED, ELSEWHERE, INSTEAD, NAV, SHOWN
from pages import PageError, page_of
from reference import reference_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CONFIG = "zensical.toml"
GENERATOR_S = 300
SHIM = "https://unpkg.com/iframe-worker/shim"  # what the generator would load from a CDN, for search on file://
LANGUAGES = {"": "docker", ".py": "python", ".sh": "bash", ".service": "ini", ".jsonl": "json", ".ipynb": "json"}
BYTES_SHOWN_MAX = 40_000


def main() -> int:
    """Gather, build, finish; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where docs/ and site/ are made")
    out = parser.parse_args().out.resolve()
    try:
        gather(out / "docs" / "pages")
    except PageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return build(out)


def gather(pages: Path) -> None:
    """All pages into one folder, and the generator's configuration beside it."""
    shutil.rmtree(pages.parent, ignore_errors=True)
    pages.mkdir(parents=True)
    files, places = _places()
    for name, to in files.items():
        source, target = ROOT / name, pages / to
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(page_of(source, ROOT, to, places), encoding="utf-8")
        else:
            shutil.copyfile(source, target)
    for folder, generated in (("cli", command_pages()), ("reference", reference_pages(ROOT / "src"))):
        (pages / folder).mkdir()
        for name, text in generated.items():
            (pages / folder / name).write_text(text, encoding="utf-8")
    for folder, to in SHOWN.items():
        (pages / to).write_text(_shown(folder), encoding="utf-8")
    settings = (DOCS / CONFIG).read_text(encoding="utf-8")
    filled = settings.replace("nav = []", f"nav = {_toml(navigation(pages))}", 1)
    (pages.parent / CONFIG).write_text(filled, encoding="utf-8")


def _places() -> tuple[dict[str, str], dict[str, str]]:
    """What is copied to where; and where a link to anything of the repository leads."""
    own = {str(path.relative_to(ROOT)): str(path.relative_to(DOCS)) for path in DOCS.rglob("*") if path.is_file()}
    elsewhere = {name: to for name, to in ELSEWHERE.items() if to not in AWAITED or (ROOT / name).exists()}
    files = {**own, **elsewhere, "LICENSE": "LICENSE.txt"}
    del files[f"docs/{CONFIG}"]
    shown = {path: f"{page}#{_anchor(path)}" for folder, page in SHOWN.items() for path in _files(folder)}
    return files, {**files, **INSTEAD, **SHOWN, **shown}


def _files(folder: str) -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    return subprocess.run(  # noqa: S603 - the folders are those of nav.py
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def _anchor(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")


def _shown(folder: str) -> str:
    """The files of a folder, each as code below its name."""
    parts = [f"# {'Examples' if folder == 'examples' else folder + '/'}\n", f"The files of `{folder}/`, as they are.\n"]
    for name in _files(folder):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        language = LANGUAGES.get(path.suffix, path.suffix[1:])
        if path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            language, text = "python", "\n\n".join("".join(cell["source"]) for cell in cells)
        if len(text) > BYTES_SHOWN_MAX or path.suffix == ".jsonl":
            text = "\n".join(text.splitlines()[:3]) + "\n..."
        parts.append(f"## {name} {{: #{_anchor(name)} }}\n\n````{language}\n{text.rstrip()}\n````\n")
    return "\n".join(parts)


def navigation(pages: Path) -> list[dict[str, object]]:
    """The generator's navigation: what of NAV is there, generated folders by their pages.

    Raises:
        PageError: a page is in no section, or one that is in a section is not there.
    """
    there = {str(path.relative_to(pages)) for path in pages.rglob("*.md")}
    listed: set[str] = set()
    sections: list[dict[str, object]] = []
    for title, entries in NAV:
        section: list[object] = []
        for name, page in entries:
            if page.endswith("/"):
                inner = [path for path in _in_order(page, pages) if path in there]
                section.append({name: inner})
                listed |= set(inner)
            elif page in there:
                section.append({name: page})
                listed.add(page)
            elif page not in AWAITED:
                raise PageError(f"there is no page {page}, which is in the navigation (scripts/docs/nav.py)")
        sections.append({title: section})
    if there - listed:
        raise PageError(f"in no section of the navigation (scripts/docs/nav.py): {', '.join(sorted(there - listed))}")
    return sections


def _in_order(folder: str, pages: Path) -> list[str]:
    """As its index links to them."""
    index = (pages / folder / "index.md").read_text(encoding="utf-8")
    return [
        f"{folder}index.md",
        *(f"{folder}{name}" for name in re.findall(r"^- \[.*?\]\((\w[\w-]*\.md)\)", index, re.MULTILINE)),
    ]


def _toml(value: object) -> str:
    """Lists, tables and strings."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def build(out: Path) -> int:
    """The site, by the generator; then what it would load from elsewhere is put beside it."""
    generator = Path(sys.executable).parent / "zensical"
    command = [generator, "build", "--strict", "--clean", "--config-file", out / "docs" / CONFIG]
    done = subprocess.run(  # noqa: S603 - all of it is ours
        command, cwd=out / "docs", capture_output=True, text=True, timeout=GENERATOR_S, check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).partition("Traceback")[0]
    sys.stdout.write(said)
    if done.returncode:
        return done.returncode
    made = out / "docs" / "site"
    for page in made.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = "../" * (len(page.relative_to(made).parts) - 1)
        page.write_text(text.replace(SHIM, f"{up}assets/worker-on-disk.js"), encoding="utf-8")
    shutil.rmtree(out / "site", ignore_errors=True)
    made.rename(out / "site")
    sys.stdout.write(f"{sum(1 for _ in (out / 'site').rglob('*.html'))} pages: {out / 'site' / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
