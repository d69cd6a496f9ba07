"""`crossrank rank` as a program reads it (JSON, tabs) and as a person does (a table on a terminal)."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from crossrank import Reranker
from crossrank.cli.main import cli, run
from crossrank.cli.printable import printable
from terminal import COMMAND, Terminal

QUERY = "who created python"
DOCUMENTS = [
    "The Eiffel Tower is in Paris.",
    "Python was created by Guido van Rossum and first released in 1991.",
    "北京是中国的首都。東京は日本の首都です。 Python 是由吉多·范罗苏姆创建的编程语言。",
    "🐍 an [bold]emoji[/bold] \x1b[31mred\x1b[0m \x1b]0;title\x07and\ttabs\x08 \u202eturned",
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents as JSON lines, after a blank line each."""
    file = tmp_path_factory.mktemp("cli") / "docs.jsonl"
    file.write_text("".join(f"\n{json.dumps({'text': text, 'n': 1.5})}\n" for text in DOCUMENTS))
    return file


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(lambda: cli.main(["rank", *map(str, arguments)], standalone_mode=False)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def on_terminal(*arguments: object, columns: int = 80, **environment: str) -> str:
    code, shown = Terminal("rank", *arguments, columns=columns, **environment).end()
    assert code == 0, shown
    return shown


def plain(text: str) -> str:
    """Without colours; whatever other escape sequence there is stays."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_json_is_one_versioned_document(capsys: pytest.CaptureFixture[str], file: Path, bundled: Reranker) -> None:
    """Keys come in a fixed order, numbers are finite, and scores are those of the library."""
    document = json.loads(output(capsys, QUERY, file, "--json"), parse_constant=pytest.fail)
    assert list(document) == ["schema_version", "query", "hits", "usage", "timings"]
    assert document["schema_version"] == 1
    assert document["query"] == QUERY
    keys = "rank index line score logit text document tokens truncated passage scored_by"
    assert [list(hit) for hit in document["hits"]] == [keys.split()] * len(DOCUMENTS)
    expected = bundled.rank(QUERY, DOCUMENTS)
    assert [(hit["index"], hit["score"]) for hit in document["hits"]] == [(hit.index, hit.score) for hit in expected]
    assert all(math.isfinite(hit["logit"]) for hit in document["hits"])


def test_json_gives_documents_back(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """`index` counts documents from 0, `line` the file's lines from 1; objects come back whole, text unescaped."""
    written = output(capsys, QUERY, file, "--json")
    for hit in json.loads(written)["hits"]:
        assert hit["line"] == 2 * hit["index"] + 2
        assert hit["document"] == {"text": DOCUMENTS[hit["index"]], "n": 1.5}
        assert hit["text"] == DOCUMENTS[hit["index"]]
    assert "北京是中国的首都" in written


def test_json_of_strings_has_no_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where a document is a string, its text says all."""
    (tmp_path / "a.txt").write_text("one\n")
    [hit] = json.loads(output(capsys, QUERY, tmp_path / "a.txt", "--json"))["hits"]
    assert "document" not in hit
    assert hit["text"] == "one"


def test_json_survives_half_a_character(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A lone surrogate in a field that the model does not read comes out as the escape that it came in as."""
    (tmp_path / "a.jsonl").write_text('{"text": "one", "n": "\\ud800"}\n')
    result = subprocess.run(
        [*COMMAND, "rank", QUERY, tmp_path / "a.jsonl", "--json"], capture_output=True, timeout=120, check=True
    )
    assert json.loads(result.stdout)["hits"][0]["document"]["n"] == "\ud800"


def test_top_k_and_threshold(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """--top-k bounds the hits, --threshold their scores; no hit at all is no failure."""

    def hits(*options: object) -> list[int]:
        return [hit["index"] for hit in json.loads(output(capsys, QUERY, file, "--json", *options))["hits"]]

    assert len(hits("-k", 2)) == 2
    assert hits("--threshold", 0.9) == [1]
    assert hits("--threshold", 2) == []
    assert output(capsys, QUERY, file, "--threshold", 2) == ""


def test_tabs_in_a_pipe(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """A line a hit with four cells: rank, score, index, text; nothing in a text can add cells, lines or colours."""
    lines = output(capsys, QUERY, file).splitlines()
    cells = [line.split("\t") for line in lines]
    assert [cell[0] for cell in cells] == ["1", "2", "3", "4"]
    assert {int(cell[2]): cell[3] for cell in cells} == {i: printable(text) for i, text in enumerate(DOCUMENTS)}
    assert all(0 <= float(cell[1]) <= 1 for cell in cells)
    assert cells[-1][3].isprintable()


def test_output_is_utf8_in_every_locale(file: Path) -> None:
    """The bytes on stdout do not depend on the locale or on PYTHONIOENCODING."""
    environments: list[dict[str, str]] = [
        {},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ]
    written = {
        subprocess.run(
            [*COMMAND, "rank", QUERY, file], env={**os.environ, **extra}, capture_output=True, timeout=120, check=True
        ).stdout
        for extra in environments
    }
    assert len(written) == 1
    assert "北京" in written.pop().decode()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_fits(file: Path, columns: int) -> None:
    """Nothing is too wide, cut off or interpreted; text starts in one column, after bars if there is room."""
    lines = plain(on_terminal(QUERY, file, columns=columns)).splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)
    start, end = lines[0].index("document"), next(i for i, line in enumerate(lines) if line.startswith("4 of 4"))
    assert {len(line) - len(line.lstrip()) for line in lines if line.startswith(" ")} <= {start}
    body = "".join(line[start:] for line in lines[1:end]).replace(" ", "")
    assert all(printable(text).replace(" ", "") in body for text in DOCUMENTS)
    assert ("█" in lines[1]) == (columns >= 60)
    summary = " ".join(lines[end:])
    assert re.fullmatch(r"4 of 4 documents, \d+ tokens, [\d,.]+ m?s, crossrank-mini", summary)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_table_without_colours(file: Path, environment: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal give the table without any escape sequence."""
    terminal = Terminal("rank", QUERY, file, **environment)
    code, shown = terminal.end()
    assert code == 0, shown
    assert "\x1b" not in terminal.written
    assert "Python was created by Guido" in shown


def test_the_table_of_raw_logits(tmp_path: Path, checkpoint: Callable[..., Path]) -> None:
    """Negative scores line up, bars are shares of certainty, and long documents end in an ellipsis."""
    folder = checkpoint(seed=2, config={"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"})
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in ["fox", "dog " * 300, "the lazy dog"]))
    lines = plain(on_terminal(QUERY, tmp_path / "a.txt", "--model", folder)).splitlines()
    scores = [match for line in lines if (match := re.match(r"\d  ( *-?\d\.\d{4})  ([█▏▎▍▌▋▊▉ ]{12})  ", line))]
    assert len(scores) == 3
    assert any("-" in match[1] for match in scores)
    assert "dog …" in "\n".join(lines)


def test_the_table_is_short_unless_asked(tmp_path: Path) -> None:
    """Of many documents the best 20 stay in sight; the last line says how to see all, and --top-k shows them."""
    (tmp_path / "a.txt").write_text("".join(f"number {i}\n" for i in range(30)))
    lines = plain(on_terminal(QUERY, tmp_path / "a.txt")).splitlines()
    assert len(lines) == 22
    assert lines[-1].startswith("20 of 30 documents (all: --top-k 30), ")
    lines = plain(on_terminal(QUERY, tmp_path / "a.txt", "-k", 25)).splitlines()
    assert len(lines) == 27
    assert lines[-1].startswith("25 of 30 documents")


def test_the_table_of_nothing(file: Path) -> None:
    """When no document reaches the threshold, a sentence says so."""
    assert plain(on_terminal(QUERY, file, "--threshold", 2)) == "No hit: none of 4 documents reaches the threshold.\n"


def test_nothing_is_imported_that_is_not_used(file: Path) -> None:
    """Ranking with the bundled model into a pipe loads no table, no hub, no HTTP library and no torch."""
    code = (
        "import sys; from crossrank.cli.main import cli, run; "
        f"code = run(lambda: cli.main(['rank', 'q', {str(file)!r}], standalone_mode=False)); "
        "heavy = {'rich', 'huggingface_hub', 'httpx', 'httpx2', 'torch', 'transformers', 'asyncio', 'tqdm'}; "
        "print(*(heavy & set(sys.modules)), file=sys.stderr, end=''); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_the_table_can_be_asked_for(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """--table prints the table into a pipe as well; with --json it is a contradiction."""
    assert output(capsys, QUERY, file, "--table", "-k", 1).splitlines()[0].split() == ["#", "score", "document"]
    assert run(lambda: cli.main(["rank", QUERY, str(file), "--table", "--json"], standalone_mode=False)) == 2
    assert "exclude each other" in capsys.readouterr().err
