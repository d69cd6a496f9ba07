"""docs/choosing.md is true: its Python runs, its commands run, its table is what benchmarks/choosing.py prints."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from crossrank.cli.group import cli
from crossrank.engine import language
from crossrank.remote.costs import AS_OF, SOURCE
from crossrank.testing import FakeVendor

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("choosing", ROOT / "benchmarks" / "choosing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """And gives dollars and queries."""
    (block,) = blocks("python")
    exec(compile(block, "docs/choosing.md", "exec"), {})
    assert re.fullmatch(r"\$180 here, \$318 by API\nthe same at [\d,]+ queries a day\n", capsys.readouterr().out)


def test_the_table_is_what_the_script_prints(script: ModuleType) -> None:
    """From the results that are kept; the page says what is assumed, and whose prices they are."""
    results = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    for line in script.table(results, script.MACHINE_USD):
        assert line in PAGE
    text = " ".join(PAGE.split())
    assert f"${script.MACHINE_USD:.0f} a month" in text
    assert AS_OF in text
    assert SOURCE.removeprefix("the price map of ") in text


def test_the_picture_is_drawn(script: ModuleType, tmp_path: Path) -> None:
    """By the same script, into a file of one's own."""
    pytest.importorskip("matplotlib")
    script.draw(json.loads(script.RESULTS.read_text(encoding="utf-8")), 60.0, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_comparison_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the page's own files, against a server in place of the vendor; what was paid is told."""
    (tmp_path / "queries.txt").write_text(blocks("text")[0], encoding="utf-8")
    (tmp_path / "documents.jsonl").write_text(blocks("json")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = next(line for block in blocks("console") for line in block.splitlines() if "--compare" in line)
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        done = CliRunner().invoke(cli, [*command.removeprefix("$ crossrank ").split(), "--price", "units=2.50"])
    assert done.exit_code == 0, done.output
    assert "Over 3 queries" in done.output
    assert "0.0075" in done.output
    assert len(server.calls) == 3


def test_the_options_and_numbers_are_those_of_the_code() -> None:
    """Every option of the page's table is one of the command; the guard's numbers are its own."""
    shown = CliRunner().invoke(cli, ["models", "recommend", "--help"]).output
    for option in set(re.findall(r"`(?:[^`]* )?(--[a-z-]+)", PAGE[: PAGE.index("## On your own")])):
        assert option in shown or option == "--compare", option
    text = " ".join(PAGE.split())
    assert language.PER_CALL == 4
    assert "up to four texts of a call" in text
    assert f"at {language.TEXTS_MAX} in all" in text
    assert language.VARIABLE in text
