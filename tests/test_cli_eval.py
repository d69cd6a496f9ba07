"""`crossrank eval` prints the truth as a table, JSON or Markdown, and ends as the other commands do."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank.cli.main import cli, run
from terminal import Terminal

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
FILES = {
    "corpus.jsonl": "jsonl",
    "queries.jsonl": "jsonl",
    "qrels/test.tsv": "tsv",
    "runs/search.trec": "trec",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The set of docs/evaluation.md, in the folder `notes` of the current one."""
    for name, kind in FILES.items():
        (content,) = re.findall(rf"`notes/{re.escape(name)}`.*?```{kind}\n(.*?)```", PAGE, re.DOTALL)
        (tmp_path / "notes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "notes" / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "notes"


@pytest.fixture
def evaluated(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `crossrank eval`: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(lambda: cli.main(["eval", *map(str, arguments)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def without_figures(text: str) -> list[str]:
    """The lines, but of those that depend on the model or the machine only what they are about."""
    return [line[:14] if "crossrank-mini" in line[:14] else line for line in text.splitlines()]


def test_the_page_shows_what_is_printed(notes: Path, evaluated: Run) -> None:
    """The worked example of docs/evaluation.md: all but the model's own figures and times."""
    (command, shown), *_ = re.findall(r"\$ crossrank eval (.*?)\n(.*?)```", PAGE, re.DOTALL)
    code, out, err = evaluated(*command.split())
    assert (code, err) == (0, "")
    width = max(map(len, out.splitlines()))
    assert width < 125
    spaced = [re.sub(" +", " ", line) for line in without_figures(out)]
    assert spaced == [re.sub(" +", " ", line) for line in without_figures(shown)]
    figures = re.search(r"crossrank-mini +(0\.\d+)", out)
    assert figures is not None
    assert float(figures[1]) > 0.615  # the first stage's


def test_all_commands_of_the_page_run(notes: Path, evaluated: Run) -> None:
    """And write what the page says."""
    commands = re.findall(r"\$ crossrank eval (.*)\n", PAGE)
    assert len(commands) == 3
    for command in commands:
        code, out, _ = evaluated(*command.split())
        assert code == 0
        assert out
    results = notes.parent / "results"
    assert {file.name for file in results.iterdir()} == {
        *("results.jsonl", "report.md", "evaluation.json", "runs", "differences.png", "latency.png")
    }
    assert (results / "runs" / "crossrank-mini.trec").is_file()
    assert re.search(r"^\| search \| 0.615 \|", (results / "report.md").read_text(), re.MULTILINE)


def test_the_python_block_of_the_page_runs(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is written."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "evaluation.md", "exec"), {})
    assert "| nDCG@10 | mean |" in capsys.readouterr().out


def test_json_on_stdout(notes: Path, evaluated: Run) -> None:
    """One document, and nothing else."""
    code, out, err = evaluated("notes", "--json", "--measures", "MAP, nDCG(dcg='exp-log2')@5", "--limit", 2)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["measures"] == ["MAP", "nDCG(dcg='exp-log2')@5"]
    assert document["queries"] == 2
    assert [row["name"] for row in document["rows"]] == ["search", "crossrank-mini"]


def test_markdown_on_stdout(notes: Path, evaluated: Run) -> None:
    """A title, the sentences, the tables."""
    code, out, _ = evaluated("notes", "--markdown")
    assert code == 0
    assert out.startswith("# notes: 6 judged queries; candidates: the first 100 of search.trec\n")
    assert "| MRR@10 | mean |" in out


def test_several_models_have_names_of_their_own(
    notes: Path, evaluated: Run, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The folder's last part, or all of it where that is taken."""
    one, other = checkpoint("bert"), checkpoint("bert", seed=1)
    for name, target in (("a/mine", one), ("b/mine", other)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).symlink_to(target)
    copies = [tmp_path / "a" / "mine", tmp_path / "b" / "mine", tmp_path / "b" / "mine"]
    code, out, _ = evaluated("notes", "--json", *(part for copy in copies for part in ("--model", copy)))
    assert code == 0
    assert len({row["name"] for row in json.loads(out)["rows"]}) == 4


@pytest.mark.parametrize(
    ("option", "origin"),
    [
        ((), "the first 100 of search.trec"),
        (("--depth", "2"), "the first 2 of search.trec"),
        (("--pool",), "each query's judged documents (BM25 orders them)"),
        (("--bm25", "--depth", "3"), "the first 3 that BM25 finds in the corpus"),
    ],
)
def test_the_first_stage_is_chosen(notes: Path, evaluated: Run, option: tuple[str, ...], origin: str) -> None:
    """By an option, else it is the set's only run."""
    with (notes / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write("q1\tsalary\t0\n")
    code, out, _ = evaluated("notes", "--json", *option)
    assert code == 0
    assert json.loads(out)["candidates"] == origin


def test_without_a_run_the_choice_is_told(notes: Path, evaluated: Run) -> None:
    """BM25, or the judged documents where they are of both classes."""
    (notes / "runs" / "search.trec").unlink()
    assert "First stage: BM25 over the corpus, as no run was given or found" in evaluated("notes")[1]
    with (notes / "qrels" / "test.tsv").open("a") as qrels:
        qrels.writelines(f"q{i}\tprinter-paper\t0\n" for i in range(1, 6))
    assert "First stage: the judged documents, as most queries" in evaluated("notes")[1]


LABELS = "query,document,label\n" + "".join(
    f"{query},{document},{int(query in document)}\n"
    for query in ("cats", "dogs")
    for document in ("cats purr", "dogs bark")
)


def test_a_file_of_labels_is_evaluated_as_it_stands(notes: Path, evaluated: Run) -> None:
    """The file that crossrank calibrate takes; each query's labelled documents are its candidates."""
    (notes / "labels.csv").write_text(LABELS)
    code, out, _ = evaluated("notes/labels.csv", "--measures", "P@1")
    assert (code, out.splitlines()[0].split(";")[0]) == (0, "labels: 2 judged queries")
    assert "First stage: the judged documents" in out


@pytest.mark.parametrize(
    ("label", "told"),
    [("0.5", "grades must be whole numbers here"), ("0\ncats,cats purr,2", "is labelled 2, and 1 elsewhere")],
)
def test_labels_that_cannot_be_grades(notes: Path, evaluated: Run, label: str, told: str) -> None:
    (notes / "labels.csv").write_text(f"{LABELS}cats,birds,{label}\n")
    code, _, err = evaluated("notes/labels.csv")
    assert code == 2
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Give DATA, a folder or a file of labels, or all of --queries, --corpus and --qrels"),
        (["--queries", "notes/queries.jsonl"], "or all of --queries, --corpus and --qrels"),
        (["nothing"], "nothing is no folder"),
        (["notes/queries.jsonl"], "line 1: no query (its fields: '_id', 'text')"),
        (["notes/qrels/test.tsv", "--run", "notes/runs/search.trec"], "go by ids, of which a file of labels has none"),
        (["notes", "--split", "dev"], "splits there: test. Choose one with --split"),
        (["notes", "--run", "nothing.trec"], "nothing.trec cannot be read"),
        (["notes", "--run", "notes/runs/search.trec", "--bm25"], "exclude each other"),
        (["notes", "--json", "--markdown"], "exclude each other"),
        (["notes", "--plots"], "--plots needs --out"),
        (["notes", "--measures", "quality"], "'quality' is no measure"),
        (["notes", "--measures", ","], "at least one name"),
        (["notes", "--depth", "0"], "0 is not in the range"),
        (["notes", "--limit", "0"], "0 is not in the range"),
        (["notes", "--model", "./none"], "does not exist"),
        (["notes", "--out", "notes/queries.jsonl"], "cannot be written"),
        (["notes", "--qrels", "notes/runs/search.trec"], "is no judgement"),
    ],
)
def test_the_callers_mistake(notes: Path, evaluated: Run, arguments: list[str], told: str) -> None:
    """Exit code 2, one message with the remedy on stderr, nothing on stdout."""
    code, out, err = evaluated(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (
            "qrels/test.tsv",
            "q1\tvpn\t1\nnobody\tvpn\t1\n",
            "'nobody'). Add these queries, or take their judgements out",
        ),
        ("qrels/test.tsv", "q1\tnothing\t1\n", "the files belong to different sets"),
        ("qrels/test.tsv", "q1\tvpn\t0\nq2\tvpn\t0\n", "no document is relevant to any query"),
        ("qrels/test.tsv", "", "holds no judgements"),
        (
            "runs/search.trec",
            "q1 Q0 vpn 1 2 x\nq1 Q0 vpn 2 1 x\n",
            "line 2: query q1 has the document vpn a second time",
        ),
        ("runs/search.trec", "q9 Q0 vpn 1 2 x\n", "Give a run for these queries, or --bm25"),
        ("runs/search.trec", "q1 Q0 nothing 1 2 x\n", "1 of 1 candidates have no text"),
        ("queries.jsonl", '{"_id": "q1", "text": ""}\n', "5 of its 6 query ids are not in"),
        ("corpus.jsonl", '{"_id": "vpn"}\n', "corpus.jsonl, line 1"),
    ],
)
def test_a_broken_set(notes: Path, evaluated: Run, file: str, content: str, told: str) -> None:
    """Exit code 2, one message with the place and the remedy."""
    (notes / file).write_text(content)
    code, out, err = evaluated("notes")
    assert (code, out) == (2, "")
    assert told in err


def test_a_pool_of_one_class(notes: Path, evaluated: Run) -> None:
    """Any order of relevant documents is perfect: there is nothing to measure."""
    qrels = notes / "qrels" / "test.tsv"
    qrels.write_text("".join(line for line in qrels.read_text().splitlines(keepends=True) if not line.endswith("0\n")))
    code, out, err = evaluated("notes", "--pool")
    assert (code, out) == (2, "")
    assert "the judgements hold one class only" in err
    assert "Give --run or --bm25 instead of --pool" in err


def test_an_empty_query(notes: Path, evaluated: Run) -> None:
    """Is found before anything is ranked."""
    queries = notes / "queries.jsonl"
    queries.write_text(re.sub(r'"q3", "text": ".*?"', '"q3", "text": " "', queries.read_text()))
    code, _, err = evaluated("notes")
    assert code == 2
    assert (
        "1 of 6 judged queries have no text (the first: 'q3'). Give their text, or take them out of the qrels." in err
    )


def test_lines_of_a_run_in_any_order(notes: Path, evaluated: Run) -> None:
    """Give the same table."""
    first = evaluated("notes", "--json")[1]
    file = notes / "runs" / "search.trec"
    file.write_text("".join(sorted(file.read_text().splitlines(keepends=True), reverse=True)))
    scores = [[row["scores"] for row in json.loads(out)["rows"]] for out in (first, evaluated("notes", "--json")[1])]
    assert scores[0] == scores[1]


def test_a_changed_model_is_noticed(notes: Path, evaluated: Run, checkpoint: Callable[..., Path]) -> None:
    """Results under --out are of one model; its name alone does not make it the same."""
    assert evaluated("notes", "--model", checkpoint("bert"), "--out", "out")[0] == 0
    file = notes.parent / "out" / "results.jsonl"
    kept = file.read_bytes()
    assert evaluated("notes", "--model", checkpoint("bert"), "--out", "out")[0] == 0
    assert file.read_bytes() == kept
    code, _, err = evaluated("notes", "--model", checkpoint("bert"), "--max-length", 32, "--out", "out")
    assert code == 2
    assert "the model or its options have changed. Give another --out, or delete the file" in err
    code, _, err = evaluated("notes", "--model", checkpoint("bert"), "--depth", 2, "--out", "out")
    assert code == 2
    assert "it ranked to another depth (100, now 2)" in err


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_table_fits_its_terminal(notes: Path, columns: int) -> None:
    """Columns go where there is no room; the mean, the difference and p stay."""
    terminal = Terminal("eval", "notes", "--measures", "nDCG@10", columns=columns)
    code, shown = terminal.end()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.splitlines()]
    assert code == 0
    assert max(map(len, plain)) <= columns
    (heading,) = (line for line in plain if re.match("nDCG@10 +mean", line))
    assert {"mean", "difference", "p"} <= set(heading.split())
    assert ("its 95 % interval" in heading) == (columns == 140)


def test_an_interrupted_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and tells what is kept; the same command then ranks the rest, to the same result."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large" / "qrels").mkdir(parents=True)
    with (tmp_path / "large" / "corpus.jsonl").open("w") as corpus:
        corpus.writelines(
            json.dumps({"_id": f"d{i}", "text": f"{i} {'some words and more ' * 8}"}) + "\n" for i in range(40)
        )
    with (tmp_path / "large" / "queries.jsonl").open("w") as queries:
        queries.writelines(json.dumps({"_id": f"q{i}", "text": f"words {i}"}) + "\n" for i in range(2_000))
    (tmp_path / "large" / "qrels" / "test.tsv").write_text("".join(f"q{i}\td{i % 40}\t1\n" for i in range(2_000)))
    command = ["eval", "large", "--bm25", "--threads", "1"]  # a minute's work for the fastest of cores
    terminal = Terminal(*command, "--out", "out", columns=100)
    terminal.wait_for(" left")
    terminal.press("\x03")
    code, shown = terminal.end()
    assert code == 130
    assert re.search(r"crossrank-mini \d+/2000 queries \|.*\| .*queries/s, \d+:\d\d(:\d\d)? left", terminal.written)
    (done,) = re.findall(r"(\d+) of 2000 queries were ranked. They are kept in out; the same command goes on", shown)
    assert "Traceback" not in terminal.written
    kept = (tmp_path / "out" / "results.jsonl").read_text().count('"query"')
    assert kept - int(done) in (0, 1)  # Ctrl-C may come when a query is kept, and not counted yet
    assert kept > 0
    limit = ["--limit", str(kept + 1), "--json"]
    resumed, whole = (
        subprocess.run(
            [sys.executable, "-m", "crossrank", *command, *limit, *out],
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        for out in (["--out", "out"], [])
    )
    assert (tmp_path / "out" / "results.jsonl").read_text().count('"query"') == kept + 1
    scores = [[row["scores"] for row in json.loads(done.stdout)["rows"]] for done in (resumed, whole)]
    assert scores[0] == scores[1]


def test_a_pipe_gets_the_whole_table(notes: Path) -> None:
    """As wide as it is, without colours or a bar."""
    done = subprocess.run(
        [sys.executable, "-m", "crossrank", "eval", "notes"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "its 95 % interval" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
