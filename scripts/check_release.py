"""Checks that a tag may be released: the version is the tag's, and CHANGELOG.md has a dated section for it.

`check_release.py v1.2.3`; without a tag only that __version__ is a version, and not older than the newest section.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r'^__version__ = "(\d+)\.(\d+)\.(\d+)((?:a|b|rc)\d+)?"$', re.MULTILINE)
SECTION = re.compile(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def main(tags: list[str]) -> int:
    """Print what is wrong; 1 if anything is."""
    problems = list(_problems(tags[0] if tags else None))
    for problem in problems:
        sys.stdout.write(problem + "\n")
    return int(bool(problems))


def _problems(tag: str | None) -> Iterator[str]:
    found = VERSION.search((ROOT / "src/crossrank/__init__.py").read_text(encoding="utf-8"))
    if found is None:
        yield '__version__ in src/crossrank/__init__.py must look like "1.2.3" or "1.2.3rc1"'
        return
    version = ".".join(found.groups()[:3]) + (found[4] or "")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = dict(SECTION.findall(changes))
    if next(iter(sections), None) != "Unreleased":
        yield "CHANGELOG.md must begin with the section Unreleased"
    if tag is None:
        return
    if tag != f"v{version}":
        yield f"the tag is {tag}, and __version__ {version}"
    if not sections.get(version):
        yield f"CHANGELOG.md lacks the section '## {version} - YYYY-MM-DD'"
    if changes.partition("## Unreleased\n")[2].partition("\n## ")[0].strip():
        yield f"CHANGELOG.md has entries under Unreleased; they belong under {version}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
