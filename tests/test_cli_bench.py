"""`crossrank bench`: what it prints and writes, what it refuses, and what it may spend."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank.cli.main import cli, run
from crossrank.testing import FakeVendor
from terminal import Terminal

QUICK = ("--shapes", "none", "--no-peers", "--cold-starts", 1, "--repeats", 6)
RESULT = Callable[..., tuple[int, str, str]]


@pytest.fixture
def crossrank(capsys: pytest.CaptureFixture[str]) -> RESULT:
    """Runs a command: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def cohere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    """Cohere, as far as the environment knows."""
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        yield server


def test_a_table_files_and_a_picture(checkpoint: Callable[..., Path], tmp_path: Path, crossrank: RESULT) -> None:
    """The same figures in all of them; notes and quoted figures below."""
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("b.json", "b.md", "b.png")]
    written = [
        argument
        for option, file in zip(("out", "markdown", "plot"), files, strict=True)
        for argument in (f"--{option}", file)
    ]
    code, out, err = crossrank(
        "bench", "-m", checkpoint("bert"), *QUICK, "--documents", "3,2", "--price-hour", 1, *written
    )
    assert (code, err) == (0, f"Written: {', '.join(map(str, files))}\n")
    kept = json.loads(files[0].read_text())
    measured = [row for row in kept["rows"] if row["kind"] == "measured"]
    assert [row["documents"] for row in measured] == [2, 3]
    assert kept["machine"]["date"] in out
    for row in measured:
        assert f"{row['usd_per_1000_queries']:.4f}" in out
    assert "quoted, not measured here" in out
    assert "quoted, not measured here" in files[1].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_json_for_programs(checkpoint: Callable[..., Path], tmp_path: Path, crossrank: RESULT) -> None:
    """Of texts of the user's own."""
    (tmp_path / "q.txt").write_text("who\nwhat\n")
    (tmp_path / "d.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    own = ("--queries", tmp_path / "q.txt", "--corpus", tmp_path / "d.jsonl")
    code, out, _ = crossrank("bench", "-m", checkpoint("bert"), *QUICK, "--documents", 2, *own, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["schema_version"] == 1
    assert result["settings"]["texts"] == "d.jsonl"
    assert result["rows"][0]["usd_per_1000_queries"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--documents", "20,many"), "no list of whole numbers"),
        (("--documents", "0"), "no list of whole numbers"),
        (("--queries", "q.txt"), "belong together"),
        (("--data", "x", "--words", "5"), "exclude each other"),
        (("--shapes", "huge"), "there is no shape 'huge'"),
        (("--max-cost", "1"), "are for remote models"),
        (("-m", "./nowhere"), "does not exist"),
        (("--out", "nowhere/b.json"), "cannot be written"),
        (("--markdown", "."), "cannot be written"),
        (("--plot", "b.xyz"), "allowed: .png, .svg, .pdf"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(
    arguments: tuple[str, ...], told: str, crossrank: RESULT
) -> None:
    code, out, err = crossrank("bench", *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_nothing_measured_is_a_failure_that_says_why(monkeypatch: pytest.MonkeyPatch, crossrank: RESULT) -> None:
    """A vendor without a key: no call, the reason, the quoted figures."""
    monkeypatch.delenv("COHERE_API_KEY", raising=False)
    monkeypatch.delenv("CO_API_KEY", raising=False)
    code, out, err = crossrank("bench", "-m", "cohere:rerank-v3.5", *QUICK, "--documents", 2)
    assert code == 1
    assert "COHERE_API_KEY" in out
    assert "AIMultiple" in out
    assert "nothing could be measured" in err


def test_an_api_is_asked_five_times_and_costs_what_it_bills(cohere: FakeVendor, crossrank: RESULT) -> None:
    """One call to begin, five that count."""
    price = ("--price", "units=2.00", "--max-cost", "1")
    code, out, _ = crossrank("bench", "-m", "cohere:rerank-v3.5", *QUICK, "--documents", 2, *price, "--json")
    assert code == 0
    row = json.loads(out)["rows"][0]
    assert (row["by"], row["device"], row["runs"]) == ("API", "API", 5)
    assert row["usd_per_1000_queries"] == 2.0
    assert len(cohere.calls) == 6
    assert "about $0.0120" in json.loads(out)["notes"][-1]


def test_no_more_is_spent_than_was_allowed(cohere: FakeVendor, crossrank: RESULT) -> None:
    """A budget for three calls of two thousandths of a dollar: what they gave is shown, and why there are not more."""
    price = ("--price", "units=2.00", "--max-cost", "0.0065")
    code, out, _ = crossrank("bench", "-m", "cohere:rerank-v3.5", *QUICK, "--documents", 2, *price)
    assert code == 0
    assert len(cohere.calls) == 3
    assert "BudgetError" in out


def test_ctrl_c_shows_what_was_measured(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """With exit code 130; the file has it too. A bar showed how far it was."""
    out = tmp_path / "b.json"
    many = ("--documents", "2,100000", "--seconds", 36_000, "--words", 200)
    terminal = Terminal("bench", "-m", checkpoint("bert", max_length=512), *QUICK, *many, "--out", out, columns=200)
    terminal.wait_for("100000 documents, warm-up")
    os.kill(terminal.process, signal.SIGINT)
    code, shown = terminal.end()
    assert code == 130
    assert "1 of 2 cases were measured" in shown
    assert "interrupted" in shown
    assert [row["documents"] for row in json.loads(out.read_text())["rows"] if row["kind"] == "measured"] == [2]
