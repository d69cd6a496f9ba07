"""ARCHITECTURE.md names what is there: every room has its place, and every place that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "crossrank"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## (\d)\. .*?\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))


def test_every_room_is_in_the_plan() -> None:
    """Each module and package directly below crossrank stands in section 2."""
    rooms = {file.name for file in PACKAGE.glob("[!_]*.py")} | {
        f"{file.parent.name}/" for file in PACKAGE.glob("*/__init__.py")
    }
    assert {room for room in rooms if room not in PARTS["2"]} == set()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w*.]+)`", PARTS["3"]))))
def test_every_guard_is_there(named: str) -> None:
    """The tests that guard the invariants of section 3."""
    assert list(ROOT.glob(named))


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+)`", PARTS["5"]))))
def test_every_place_to_change_is_there(named: str) -> None:
    """A file or folder of section 5, seen from the package or from the repository's root; or a name in the code."""
    places = [found for below in (PACKAGE, ROOT) for found in (below / named, *below.glob(f"{named}.*"))]
    assert any(place.exists() for place in places) or re.search(rf"\b{named}\b", SOURCE)
