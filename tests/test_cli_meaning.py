"""`crossrank calibrate` and `crossrank explain`, as a person and as a program read them; how they end."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.cli.main import cli, run
from crossrank.testing import tiny_checkpoint
from terminal import Terminal

Run = Callable[..., tuple[int, str, str]]
QUERY = "who created python"
TEXT = "Monty Python is a comedy group. Guido van Rossum created Python in 1991.\n\nThe Netherlands are flat."


@pytest.fixture
def crossrank(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command: exit code, stdout, stderr; calibrations are kept in a cache folder of its own."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Forty pairs: a document about each of ten subjects, one about another, and a doubtful one of each kind."""
    subjects = ["spiders", "python", "bread", "rain", "chess", "salt", "whales", "paper", "glass", "violins"]
    lines = []
    for i, subject in enumerate(subjects):
        other = subjects[(i + 3) % 10]
        for text, label in (
            (f"All about {subject}: what {subject} are.", 1),
            (f"All about {other}: what {other} are.", 0),
            (f"Some people like {subject}.", int(i % 2 == 0)),
            (f"{other} and {subject}", int(i % 3 == 0)),
        ):
            lines.append(json.dumps({"query": f"what are {subject}", "document": text, "label": label}))
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    return tmp_path / "labels.jsonl"


def test_a_calibration_is_kept_under_a_name_and_used(crossrank: Run, labels: Path, tmp_path: Path) -> None:
    code, out, err = crossrank("calibrate", "--labels", labels, "--name", "subjects", "--plot", "diagram.svg")
    assert (code, err) == (0, "")
    assert re.search(r"^relevant +\d+ of 40 pairs, 10 queries$", out, re.MULTILINE)
    assert re.search(r"^platt, held-out pairs +0\.\d{4} +0\.\d{4} +0\.\d{4}$", out, re.MULTILINE)
    assert "Use it with Reranker(calibration='subjects')." in out
    assert max(map(len, out.splitlines())) < 230
    assert "<svg" in (tmp_path / "diagram.svg").read_text()
    (tmp_path / "docs.txt").write_text(TEXT.replace(". ", ".\n"))
    code, out, _ = crossrank("rank", QUERY, "docs.txt", "--calibration", "subjects", "--json")
    hits = json.loads(out)["hits"]
    assert code == 0
    assert all(0 < hit["probability"] < 1 for hit in hits)
    on = ("--threshold", hits[0]["probability"], "--threshold-on", "probability")
    code, out, _ = crossrank("rank", QUERY, "docs.txt", "--calibration", "subjects", *on)
    assert (code, out.count("\n")) == (0, 1)
    code, out, _ = crossrank("rank", QUERY, "docs.txt", "--calibration", "subjects", "--table")
    assert re.match(r" ?# +score  probability +document\n1  0\.\d{4} +0\.\d{4} ", out)
    code, out, _ = crossrank("rank", QUERY, "docs.txt", "--json")
    assert "probability" not in json.loads(out)["hits"][0]


def test_a_calibration_lies_beside_a_model_of_ones_own(crossrank: Run, labels: Path, tmp_path: Path) -> None:
    """And is used by itself; its JSON says everything."""
    folder = tiny_checkpoint(tmp_path / "mine", seed=3)
    code, out, _ = crossrank("calibrate", "mine", "--labels", labels, "--json", "--precision-at-least", "0.5")
    if code == 2:  # random weights may well put the others first
        pytest.skip(out)
    said = json.loads(out)
    assert said["schema_version"] == 1
    assert said["file"] == "mine/calibration.json"
    assert said["pairs"] == sum(one["count"] for one in said["held_out"]["bins"]) == 40
    assert said["threshold"]["precision"] >= 0.5
    kept = json.loads((folder / "calibration.json").read_text())
    assert kept["evidence"]["held_out"]["ece"] == said["held_out"]["ece"]
    with Reranker(folder) as reranker:
        assert reranker.calibration is not None
    code, out, _ = crossrank(
        "rank", "a", labels, "-m", "mine", "--fields", "document", "--calibration", "none", "--json"
    )
    assert "probability" not in json.loads(out)["hits"][0]


def test_a_set_is_calibrated_on_its_candidates(crossrank: Run, tmp_path: Path) -> None:
    """Those that nobody judged count as not relevant, and it says how many."""
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    names = ["spider", "python", "bread", "rain", "chess", "salt"]
    corpus = [{"_id": name, "text": f"A {name} is what this is about; no other word."} for name in names]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    queries = [{"_id": f"q{name}", "text": f"what is a {name}"} for name in names]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels" / "test.tsv").write_text("".join(f"q{name}\t{name}\t2\n" for name in names))
    code, _, err = crossrank("calibrate", "--labels", folder, "--name", "set")
    assert code == 2
    assert "--relevant-from 2" in err
    code, out, err = crossrank("calibrate", "--labels", folder, "--name", "set", "--relevant-from", "2")
    assert (code, err) == (0, "")
    assert "30 of 36 pairs are not judged: not relevant." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "labels.jsonl"], "crossrank-mini is no folder that the calibration could lie in"),
        (["--labels", "labels.jsonl", "--name", "a", "--out", "b"], "exclude each other"),
        (["--labels", "labels.jsonl", "--name", "a/b"], "cannot be a calibration's name"),
        (["--labels", "labels.jsonl", "--name", "a", "--plot", "a.gif"], r"drawn as .png or .svg"),
        (["--labels", "nowhere.jsonl", "--name", "a"], "nowhere.jsonl cannot be read"),
        (["--labels", "one.jsonl", "--name", "a"], "has 1 labelled pairs; a calibration needs 20"),
        (["cohere:rerank-v4.0-pro", "--labels", "labels.jsonl", "--name", "a"], "gives scores, no logits"),
        (["--labels", "labels.jsonl", "--out", "labels.jsonl/a"], "labels.jsonl"),
    ],
)
def test_mistakes_end_with_2(crossrank: Run, labels: Path, arguments: list[str], message: str) -> None:
    Path("one.jsonl").write_text('{"query": "q", "document": "d", "label": 1}')
    code, out, err = crossrank("calibrate", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("cache/calibrations").exists()


def test_an_explanation_in_a_pipe_is_a_line_a_part(crossrank: Run) -> None:
    code, out, err = crossrank("explain", QUERY, TEXT)
    assert (code, err) == (0, "")
    *parts, summary = out.splitlines()
    assert [line.split(maxsplit=2)[2] for line in parts if "█" in line or "▒" in line] == TEXT.replace(
        "\n\n", " "
    ).replace(". ", ".|").split("|")
    assert re.fullmatch(r"logit \S+ = \S+ without any text \S+, shared among 3 parts; crossrank-mini", summary)


def test_an_explanation_as_json(crossrank: Run, bundled: Reranker) -> None:
    """The numbers of the library, for programs."""
    code, out, _ = crossrank("explain", QUERY, TEXT, "--unit", "word", "--json")
    said, found = json.loads(out), bundled.explain(QUERY, TEXT, unit="word")
    assert code == 0
    assert said["schema_version"] == 1
    assert [(one["text"], one["share"]) for one in said["spans"]] == [(one.text, one.share) for one in found]
    assert sum(one["share"] for one in said["spans"]) == pytest.approx(said["whole"] - said["empty"])


def test_a_heat_map_on_a_terminal() -> None:
    """The text in its lines, in colours that any terminal shows; without colours, bars as wide as it is."""
    code, out = Terminal("explain", QUERY, TEXT, COLORTERM="truecolor").end()
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert "\x1b[38;2;0;0;0;48;2;" in out
    lines = [line.rstrip() for line in plain.splitlines()]
    assert lines[:3] == [
        "Monty Python is a comedy group. Guido van Rossum created Python in 1991.",
        "",
        "The Netherlands are flat.",
    ]
    assert "adds takes away" in plain
    terminal = Terminal("explain", QUERY, TEXT, columns=50, NO_COLOR="1")
    code, bars = terminal.end()
    assert code == 0
    assert "\x1b[" not in terminal.written
    assert max(map(len, bars.splitlines()[:3])) <= 50


def test_a_text_cannot_write_escape_sequences_to_a_terminal() -> None:
    text = "Python \x1b[31mred\x1b[0m. \x1b]0;title\x07Guido."
    terminal = Terminal("explain", QUERY, text, "--unit", "word", COLORTERM="truecolor")
    code, _ = terminal.end()
    assert code == 0
    assert "Guido" in terminal.written
    assert "\x1b[31m" not in terminal.written
    assert "\x1b]0" not in terminal.written


def test_files_are_explained_whole_or_by_index(crossrank: Run) -> None:
    Path("a.txt").write_text("Bread is baked.\nGuido created Python.")
    code, out, _ = crossrank("explain", QUERY, "a.txt", "--json")
    assert (code, len(json.loads(out)["spans"])) == (0, 2)
    Path("b.jsonl").write_text('{"text": "Bread."}\n{"title": "Python", "by": "Guido"}\n')
    code, out, _ = crossrank("explain", QUERY, "b.jsonl", "--index", "1", "--json")
    assert json.loads(out)["text"] == "title: Python\nby: Guido"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b.jsonl"], "holds 2 documents; say which with --index"),
        (["b.jsonl", "--index", "2"], "the first is 0"),
        (["nowhere.txt"], "no such file"),
        (["folder"], "folder is a folder. Give a text"),
        (["empty.txt"], "empty.txt holds no text to explain"),
        (["a text", "--index", "2"], "are for files of many documents"),
        (["a text", "--unit", "line"], "Invalid value for '--unit'"),
    ],
)
def test_mistakes_of_explaining_end_with_2(crossrank: Run, arguments: list[str], message: str) -> None:
    Path("b.jsonl").write_text('"a"\n"b"\n')
    Path("empty.txt").write_text("\n")
    Path("folder").mkdir()
    code, out, err = crossrank("explain", QUERY, *arguments)
    assert (code, out) == (2, "")
    assert message in err
