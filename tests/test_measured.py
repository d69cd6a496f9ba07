"""README and docs quote what is kept in benchmarks/results, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> object:
    """The module that makes them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tables

    return tables


def test_pages_have_the_tables_that_the_results_give() -> None:
    """As `make check` looks at it."""
    done = subprocess.run(
        [sys.executable, "benchmarks/tables.py"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_figure_is_found(tables: object) -> None:
    """A page whose block says something else is not what would be made of it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tables.made(readme) == readme
    changed = readme.replace("pairs/s | tau to fp32", "pairs/s | tau to fp16")
    assert changed != readme
    assert tables.made(changed) == readme


def test_every_block_is_on_a_page(tables: object) -> None:
    """And every page has one, so that none is forgotten."""
    found = [name for page in tables.PAGES for _, name, _ in tables.BLOCK.findall((ROOT / page).read_text())]
    assert set(found) == set(tables.BLOCKS)
    assert all(tables.BLOCK.search((ROOT / page).read_text()) for page in tables.PAGES)


def test_no_result_names_a_folder_of_the_machine() -> None:
    """They are published: models and peers go by their names there."""
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert not re.search(r"['\"(]/\w", file.read_text(encoding="utf-8")), file


def test_a_lesser_machine_has_its_tables_too(tables: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lines that it could not measure: no Redis, no bf16, too slow for the largest model."""
    import blocks

    unmeasured = re.compile("Redis|crossrank bf16|OpenVINO bf16|bge-large")
    for file in blocks.RESULTS.glob("*.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        rows = result.get("rows", [])
        result["rows"] = [row for row in rows if not unmeasured.search(str(row.get("what", row.get("model"))))]
        (tmp_path / file.name).write_text(json.dumps(result), encoding="utf-8")
    monkeypatch.setattr(blocks, "RESULTS", tmp_path)
    made = {name: render() for name, render in tables.BLOCKS.items()}
    assert "larger models" not in made["weaker"]
    assert "AMX" not in made["weaker"]
    assert "Redis" not in made["caches"]
    assert "SQLite" in made["caches"]
