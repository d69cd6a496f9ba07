"""`crossrank rank --queries`: killed, interrupted or out of room, it goes on where it stopped; mistakes come first."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.calibration import Calibration, Platt
from crossrank.calibration import write as write_calibration
from crossrank.cli.main import cli, run
from crossrank.testing import FakeVendor, Fault
from terminal import COMMAND, Terminal
from unmeasured import unmeasured

PATIENCE_S = 120.0  # for what takes a second where nothing else goes on
MODEL = "cohere:rerank-v3.5"
QUERIES = 40
FILES = {"queries": "queries.jsonl", "candidates": "run.trec", "corpus": "corpus.jsonl"}
Called = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Forty queries with three candidates each, as options."""
    folder = tmp_path_factory.mktemp("many")
    texts = [f"{chr(97 + i % 26)}{chr(97 + i % 7)} text number {i}" for i in range(50)]
    write(folder / "corpus.jsonl", texts, "d")
    write(folder / "queries.jsonl", [f"{chr(97 + i % 26)} {i} number" for i in range(QUERIES)], "q")
    run = [f"q{i} Q0 d{(7 * i + k) % 50} {k} {9 - k} bm25" for i in range(QUERIES) for k in range(3)]
    (folder / "run.trec").write_text("\n".join(run))
    return [part for option, name in FILES.items() for part in (f"--{option}", str(folder / name))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    """Cohere, as far as the environment knows."""
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        yield server


@pytest.fixture
def ranked(capsys: pytest.CaptureFixture[str]) -> Called:
    """Runs `crossrank rank`: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(lambda: cli.main(["rank", *map(str, arguments)], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def write(file: Path, texts: list[str], letter: str) -> None:
    file.write_text("".join(json.dumps({"_id": f"{letter}{i}", "text": text}) + "\n" for i, text in enumerate(texts)))


def stopped(server: FakeVendor, at: int, *arguments: object) -> "subprocess.Popen[bytes]":
    """The command, as it waits for an answer to call number `at`, which will not come."""
    server.faults.extend([Fault()] * at + [Fault(hang=True)] * QUERIES)
    process = subprocess.Popen([*COMMAND, "rank", *map(str, arguments)], stderr=subprocess.PIPE, env=unmeasured())
    try:
        for _ in range(at + 1):
            server.await_call(PATIENCE_S)
    except TimeoutError:
        process.kill()
        pytest.fail(f"the command asked for no more; it wrote: {process.communicate()[1].decode()}")
    return process


@pytest.mark.parametrize("name", ["out.jsonl", "out.trec"])
@pytest.mark.parametrize("at", [0, 17, 33])
def test_killed_at_any_point(
    server: FakeVendor, files: list[str], ranked: Called, tmp_path: Path, at: int, name: str
) -> None:
    """A second run finishes the rest, to the same bytes as one that nothing happened to."""
    assert ranked(*files, "--model", MODEL, "-o", tmp_path / f"whole-{name}")[0] == 0
    for _ in range(QUERIES):
        server.await_call(PATIENCE_S)
    output = tmp_path / name
    process = stopped(server, at, *files, "--model", MODEL, "-o", output)
    process.kill()
    process.communicate()
    written = output.read_bytes() if output.exists() else b""
    server.faults.clear()
    asked = len(server.calls)
    code, _, err = ranked(*files, "--model", MODEL, "-o", output)
    assert code == 0
    assert output.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert output.read_bytes().startswith(written)
    before = re.search(r"40 queries(?:, (\d+) of them before)?\n", err)
    assert before is not None
    # A set: what the killed one had under way may have been noted by the server only now.
    lines = Path(files[files.index("--queries") + 1]).read_text().splitlines()
    queries = [json.loads(line)["text"] for line in lines]
    assert {call.query for call in server.calls[asked:]} == set(queries[int(before[1] or 0) :])


def test_interrupted(server: FakeVendor, files: list[str], ranked: Called, tmp_path: Path) -> None:
    """Ctrl-C ends it with 130 and says how far it is, and that the same command goes on."""
    output = tmp_path / "out.jsonl"
    process = stopped(server, 20, *files, "--model", MODEL, "-o", output)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    told = err.decode()
    assert re.search(r"out\.jsonl: \d+ of 40 queries; the same command goes on from there\.\n", told)
    assert "Traceback" not in told
    server.faults.clear()
    assert ranked(*files, "--model", MODEL, "-o", output)[0] == 0
    assert [json.loads(line)["query_id"] for line in output.read_text().splitlines()] == [
        f"q{i}" for i in range(QUERIES)
    ]


def test_a_budget_ends_it_for_now(server: FakeVendor, files: list[str], ranked: Called, tmp_path: Path) -> None:
    """What was paid for is kept; with another budget the command goes on, and pays for the rest only."""
    command = (*files, "--model", MODEL, "--price", "units=1.00", "-o", tmp_path / "out.jsonl")
    code, _, err = ranked(*command, "--max-cost", "0.025")
    assert code == 1
    assert "of a budget of 0.025" in err
    assert "about $0.0250" in err
    kept = len((tmp_path / "out.jsonl").read_text().splitlines())
    assert f"{kept} of 40 queries; the same command goes on from there" in err
    assert ranked(*command, "--max-cost", "0.04")[0] == 0
    assert len(server.calls) == 25 + QUERIES - kept
    assert ranked(*command)[0] == 0
    assert len(server.calls) == 25 + QUERIES - kept


LIMITED = """
import resource, signal, sys
sys.dont_write_bytecode = True  # it would be cut off, and kept for everybody who imports the same
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
from crossrank.cli.main import main
main()
"""


def test_a_full_disk(server: FakeVendor, files: list[str], ranked: Called, tmp_path: Path) -> None:
    """Exit code 1, what is kept and what to do; with room, the same command finishes."""
    command = [COMMAND[0], "-c", LIMITED, "rank", *files, "--model", MODEL, "-o", str(tmp_path / "out.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured(), timeout=PATIENCE_S)
    assert done.returncode == 1, done.stderr
    assert "What was finished is kept; make room and run the same command again." in done.stderr
    assert "Traceback" not in done.stderr
    assert ranked(*files, "--model", MODEL, "-o", tmp_path / "out.jsonl")[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == QUERIES


def test_to_standard_output(files: list[str], ranked: Called, tmp_path: Path) -> None:
    """Without -o it is printed, the same as into a file; with the bundled model, and its logits in a run."""
    code, out, err = ranked(*files, "--top-k", "2")
    assert (code, err, len(out.splitlines())) == (0, "", QUERIES)
    assert ranked(*files, "--top-k", "2", "-o", tmp_path / "out.jsonl") == (
        0,
        "",
        f"{tmp_path / 'out.jsonl'}: 40 queries\n",
    )
    assert (tmp_path / "out.jsonl").read_text() == out
    _, out, _ = ranked(*files, "--format", "trec", "--depth", "1")
    assert re.fullmatch(r"(q\d+ Q0 d\d+ 1 -?[\d.e-]+ crossrank-mini\n){40}", out)


def test_another_job_is_refused(files: list[str], ranked: Called, tmp_path: Path, server: FakeVendor) -> None:
    """Another model, option or input: with what differs; --restart begins anew; nothing is lost before that."""
    output = tmp_path / "out.jsonl"
    assert ranked(*files, "-o", output)[0] == 0
    before = output.read_bytes()
    for other, differs in (
        (["--model", MODEL], "model"),
        (["--precision", "fp32"], "model"),
        (["--top-k", "1"], "top_k"),
        (["--threshold", "0.5"], "threshold"),
        (["--fields", "text"], "fields"),
        (["--format", "trec"], "form"),
        (["--max-length", "64"], "max_length, model"),
        (["--long-documents", "truncate"], "long_documents"),
        (["--depth", "1"], "candidates, corpus"),
    ):
        code, out, err = ranked(*files, "-o", output, *other)
        assert (code, out) == (2, ""), other
        assert f"another job; not the same: {differs}. Give another -o, or --restart to begin anew." in err
    assert output.read_bytes() == before
    assert ranked(*files, "-o", output, "--top-k", "1", "--restart")[0] == 0
    assert all(len(json.loads(line)["hits"]) == 1 for line in output.read_text().splitlines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--queries"], "--candidates RUN and --corpus FILE"),
        (["--corpus"], "--corpus: for many queries; give --queries FILE."),
        (["--queries", "--candidates", "--corpus", "query"], "no place beside --queries"),
        (["--queries", "--candidates", "--corpus", "--json"], "exclude each other"),
        (["--queries", "--candidates", "--corpus", "--format", "csv"], "jsonl or trec"),
        (["--queries", "--candidates", "--corpus", "--restart"], "--restart needs -o FILE"),
        (["--queries", "--candidates", "--corpus", "--fields", ","], "fields is empty"),
        (["--queries", "--candidates", "--corpus", "--fields", "none"], "none"),
        (["--queries", "--candidates", "--corpus", "-o", "/dev/null"], "no regular file"),
        (["query", "file", "--skip-missing"], "--skip-missing: for many queries"),
        (["query", "-", "--format", "trec"], "--format trec is the output of many queries"),
    ],
)
def test_mistakes(files: list[str], ranked: Called, options: list[str], words: str) -> None:
    """Exit code 2, the remedy on stderr, nothing on stdout."""
    given = dict(zip(files[::2], files[1::2], strict=True))
    arguments = [part for option in options for part in ((option, given[option]) if option in given else (option,))]
    code, out, err = ranked(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_probabilities(files: list[str], ranked: Called, tmp_path: Path, bundled: Reranker) -> None:
    """Where a calibration is in use, whose curve the job depends on; a threshold may be on them."""
    output = tmp_path / "out.jsonl"
    for name, slope in (("one", 1.0), ("other", 2.0)):
        write_calibration(Calibration(Platt(slope, 0.0), bundled.origin), tmp_path / f"{name}.json")
    command = [*files, "-o", output, "--threshold-on", "probability", "--threshold", "0.3"]
    assert ranked(*command, "--calibration", tmp_path / "one.json")[0] == 0
    hits = [hit for line in output.read_text().splitlines() for hit in json.loads(line)["hits"]]
    assert 0 < len(hits) < 3 * QUERIES
    assert all(hit["probability"] >= 0.3 for hit in hits)
    code, _, err = ranked(*command, "--calibration", tmp_path / "other.json")
    assert code == 2
    assert "not the same: calibration" in err
    code, _, err = ranked(*files, "--model", MODEL, "--threshold-on", "probability", "--threshold", "0.3")
    assert code == 2
    assert "give no probabilities" in err


def test_missing_documents(files: list[str], ranked: Called, tmp_path: Path) -> None:
    """Are named, or left out and told of."""
    write(tmp_path / "corpus.jsonl", ["a text"] * 3, "d")
    lacking = [*files[:5], str(tmp_path / "corpus.jsonl")]
    code, _, err = ranked(*lacking)
    assert code == 2
    assert re.search(r"47 documents of .*run\.trec are not in it: 'd7', .* and 42 more\. .* --skip-missing", err)
    code, out, err = ranked(*lacking, "--skip-missing")
    assert (code, len(out.splitlines())) == (0, QUERIES)
    assert "47 documents" in err


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """With rate and time left, once it takes over a second; Ctrl-C wipes it and tells how far the file is."""
    write(tmp_path / "corpus.jsonl", [f"{i} {'some more words ' * 80}" for i in range(100)], "d")
    write(tmp_path / "queries.jsonl", [f"words {i}" for i in range(2_000)], "q")
    run = "\n".join(f"q{i} Q0 d{(i + k) % 100} {k} {99 - k} t" for i in range(2_000) for k in range(20))
    (tmp_path / "run.trec").write_text(run)
    options = [f"--{name}={tmp_path / file}" for name, file in FILES.items()]
    terminal = Terminal("rank", *options, "-o", tmp_path / "out.jsonl", columns=100)
    terminal.wait_for(" left")
    terminal.press("\x03")
    code, shown = terminal.end()
    assert code == 130
    assert re.search(r"Ranking \d+/2000 queries \|.*\| +[\d.]+ queries/s, [\d:]+ left", terminal.written)
    assert re.search(r"\d+ of 2,000 queries; the same command goes on from there\.\n", shown)
