"""ARCHITECTURE.md names what is there: every room has its place, and every place that it names exists."""

import ast
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


@pytest.mark.parametrize(
    "room", sorted(file.parent for file in PACKAGE.glob("*/__init__.py")), ids=lambda one: one.name
)
def test_every_module_is_in_its_room(room: Path) -> None:
    """Each module of a package stands in the package's lines of section 2; but of those with one a thing, not each."""
    rows = re.split(r"\n(?=  \w)", PARTS["2"])
    row = next(row for row in rows if row.startswith(f"  {room.name}/"))
    ours = set(re.findall(r"\w+", row))
    others = {"wire": "one module a vendor", "integrations": "one module a framework", "cli": "one file a subcommand"}
    if room.name in others:
        assert others[room.name] in row
    else:
        assert {file.stem for file in room.glob("[!_]*.py")} - ours == set()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w*.]+)`", PARTS["3"]))))
def test_every_guard_is_there(named: str) -> None:
    """The tests that guard the invariants of section 3."""
    assert list(ROOT.glob(named))


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+)`", PARTS["5"]))))
def test_every_place_to_change_is_there(named: str) -> None:
    """A file or folder of section 5, seen from the package or from the repository's root; or a name in the code."""
    places = [found for below in (PACKAGE, ROOT) for found in (below / named, *below.glob(f"{named}.*"))]
    assert any(place.exists() for place in places) or re.search(rf"\b{named}\b", SOURCE)


def _is_name(node: ast.expr) -> bool:
    """Whether this is what a family, a dialect or a vendor is called, as in `dialect.name`; a device's name is none."""
    match node:
        case ast.Attribute(value, "name" | "tensors" | "architecture"):
            return re.search("famil|dialect|vendor|profile", ast.unparse(value), re.IGNORECASE) is not None
        case ast.Attribute(_, "family" | "dialect" | "vendor"):
            return True
    return False


def _compared_names(source: str) -> list[str]:
    """The comparisons of such a name with text of the code's own."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(_is_name(side) for side in (node.left, *node.comparators))
        and any(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in ast.walk(node))
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("if asked.dialect.name == 'tei': pass", 1),
        ("gated = FAMILIES[family].tensors in ('modernbert', 'decoder')", 1),
        ("x = shape.family != 'bert' and vendor.name not in {'cohere'}", 2),
        ("x = device.name == 'cpu' or dialect.name == name or dialect.logits", 0),
    ],
)
def test_a_comparison_with_a_name_is_found(source: str, found: int) -> None:
    """The guard below sees what it is for."""
    assert len(_compared_names(source)) == found


def test_a_peculiarity_is_data() -> None:
    """No `if name`: what sets a family, a dialect or a vendor apart is a value, said where it is described."""
    compared = {file: _compared_names(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")}
    assert {str(file.relative_to(PACKAGE)): found for file, found in compared.items() if found} == {}


def test_no_test_imports_another() -> None:
    """What several share has a module of its own, named for what it is; shared fixtures are in conftest."""
    imported = [
        (file.name, name)
        for file in (ROOT / "tests").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert len(imported) > 1_000
    assert [(file, name) for file, name in imported if name.startswith(("test_", "conftest"))] == []
