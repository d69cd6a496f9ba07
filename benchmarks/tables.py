"""The tables that README and docs quote, made from benchmarks/results; without --write, 1 if a page says anything else.

A block stands between `<!-- measured: NAME -->` and `<!-- /measured -->`; `run.py --write` measures and rewrites it.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from blocks import BLOCKS

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/alternatives.md",
    "docs/benchmarks.md",
    "docs/caching.md",
    "docs/concurrency.md",
    "docs/deploy.md",
    "docs/devices.md",
    "docs/performance.md",
    "docs/scale.md",
    "src/crossrank/models/crossrank-mini/README.md",
)
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- /measured -->)", re.DOTALL)


def main() -> int:
    """Check, or write; 1 and the differences where a page is not what the results are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="rewrite the pages")
    if parser.parse_args().write:
        write()
        return 0
    differences = [line for page in PAGES for line in _difference(page)]
    sys.stdout.writelines(differences)
    if differences:
        sys.stdout.write("The pages differ from benchmarks/results. Run: python benchmarks/tables.py --write\n")
    return int(bool(differences))


def write() -> None:
    """Rewrite every block of every page."""
    for page in PAGES:
        (ROOT / page).write_text(made(_text(page)), encoding="utf-8")


def made(text: str) -> str:
    """A page with its blocks as the results have them."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}{found[3]}", text)


def _difference(page: str) -> Iterable[str]:
    text = _text(page)
    lines = [version.splitlines(keepends=True) for version in (text, made(text))]
    return difflib.unified_diff(*lines, page, f"{page}, from benchmarks/results", n=0)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
