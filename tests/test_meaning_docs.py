"""docs/calibration.md and docs/explain.md are true: their examples run as they stand, their numbers are the code's."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank.cli.main import cli, run
from crossrank.evaluate.calibrate import EACH_MIN, ISOTONIC_FROM, PAIRS_MIN, PRECISION
from crossrank.evaluate.reliability import BINS
from crossrank.explain.explain import CHARACTERS_MAX, UNITS_MAX

DOCS = Path(__file__).resolve().parent.parent / "docs"
CALIBRATION, EXPLAIN = ((DOCS / name).read_text(encoding="utf-8") for name in ("calibration.md", "explain.md"))
FIGURE = re.compile(r"\d+\.\d+")

Run = Callable[[str], str]


@pytest.fixture
def crossrank(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line in a folder of its own: what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))

    def call(line: str) -> str:
        arguments = [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', line)]
        assert run(lambda: cli.main(arguments, standalone_mode=False)) == 0
        return capsys.readouterr().out

    return call


def executed(page: str, name: str) -> dict[str, object]:
    """The Python blocks, in order, in one session."""
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, name, "exec"), names)
    return names


def test_the_worked_example_of_calibration(crossrank: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command prints what the page shows, but for figures, which depend on the processor; then the examples run."""
    pytest.importorskip("sklearn")
    (content,) = re.findall(r"```csv\n(.*?)```", CALIBRATION, re.DOTALL)
    (tmp_path / "tickets.csv").write_text(content, encoding="utf-8")
    (line, shown) = re.findall(r"\$ crossrank (calibrate .*?)\n(.*?)```", CALIBRATION, re.DOTALL)[0]
    printed = crossrank(line).replace(str(tmp_path / "cache"), "~/.cache/crossrank")
    assert [FIGURE.sub("#", re.sub(r"It keeps \d+", "It keeps #", text)) for text in printed.splitlines()] == [
        FIGURE.sub("#", re.sub(r"It keeps \d+", "It keeps #", text)) for text in shown.splitlines()
    ]
    assert (tmp_path / "tickets.png").is_file()
    executed(CALIBRATION, "docs/calibration.md")
    out = capsys.readouterr().out
    assert "made with max_length=256, not 128" in out
    assert "Platt(slope=" in out


def test_the_examples_of_explaining(crossrank: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In order; the shares are those that the page shows, as nearly as precisions agree."""
    executed(EXPLAIN, "docs/explain.md")
    (shown,) = re.findall(r"```text\n(.*?)```", EXPLAIN, re.DOTALL)
    found = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    wanted = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert [text for _, text in found] == [text for _, text in wanted]
    assert [float(share) for share, _ in found] == pytest.approx([float(share) for share, _ in wanted], abs=0.2)
    (tmp_path / "article.txt").write_text("Guido created Python. It is free.")
    (tmp_path / "docs.jsonl").write_text('"a"\n"b"\n"c"\n"Guido created Python."\n')
    lines = re.findall(r"\$ crossrank (explain .*)\n", EXPLAIN)
    assert len(lines) == 2
    for line in lines:
        assert "Guido" in crossrank(line)


def test_numbers_are_those_of_the_code() -> None:
    """Those that the pages state."""
    assert f"fewer than {PAIRS_MIN} pairs, one class only, fewer than {EACH_MIN} of either" in CALIBRATION
    assert f"below {ISOTONIC_FROM:,} pairs always Platt" in CALIBRATION
    assert f"--precision-at-least {PRECISION:g}` (the default)" in CALIBRATION
    assert f"up to {BINS} bins" in CALIBRATION
    assert f"{UNITS_MAX['sentence']} sentences or {UNITS_MAX['word']} words" in EXPLAIN
    assert f"{CHARACTERS_MAX:,} characters" in EXPLAIN


def test_pictures_are_there() -> None:
    for page in (CALIBRATION, EXPLAIN):
        for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
            assert (DOCS / picture).is_file()
