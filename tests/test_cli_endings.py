"""How the command line ends: exit codes, Ctrl-C, pipes that close, devices that are full."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crossrank.cli.main import cli, run
from crossrank.errors import HubError, OverloadError
from terminal import COMMAND, Terminal
from unmeasured import unmeasured

PATIENCE_S = 120.0  # for what takes a second where nothing else goes on


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two documents."""
    file = tmp_path / "docs.txt"
    file.write_text("one\ntwo\n")
    return file


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Documents that take one thread with the bundled model minutes."""
    file = tmp_path / "large.txt"
    file.write_text("".join(f"{i} {'a word and ' * 100}\n" for i in range(20_000)))
    return file


def ending(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and stderr; nothing may have been written to stdout."""
    code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return code, err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Usage: "),
        (["rnk"], "Did you mean 'rank'?"),
        (["something"], "No such command 'something'"),
        (["--wrong"], "No such option"),
        (["rank"], "Missing argument 'QUERY'"),
        (["rank", "q"], "Missing argument 'FILE'"),
        (["rank", "q", "FILE", "--topk", "3"], "--top-k"),
        (["rank", "q", "FILE", "-k", "0"], "0 is not in the range"),
        (["rank", "q", "FILE", "-k", "-1"], "-1 is not in the range"),
        (["rank", "q", "FILE", "-k", "many"], "not a valid integer"),
        (["rank", "", "FILE"], "QUERY is empty"),
        (["rank", " \t", "FILE"], "QUERY is empty"),
        (["rank", "\udcff", "FILE"], "QUERY holds a lone surrogate"),
        (["rank", "word " * 600, "FILE"], "A query is never cut"),
        (["rank", "q", "FILE", "--max-length", "513"], "max_length=513"),
        (["rank", "q", "FILE", "--threshold", "nan"], "threshold is NaN"),
        (["rank", "q", "FILE", "--fields", ","], "fields is empty"),
        (["rank", "q", "FILE", "--format", "xml"], "xml"),
        (["rank", "q", "FILE", "--revision", "main"], "revision='main'"),
        (["rank", "q", "FILE", "--model", "./none"], "does not exist"),
        (["rank", "q", "FILE", "--model", "FILE"], "is a file, not a folder"),
        (["rank", "q", "FILE", "--model", "not a name!"], "neither an existing folder nor a valid name"),
        (["rank", "FILE", "q"], "The order is QUERY FILE"),
        (["models", "rm", "crossrank-mini"], "cannot be removed"),
    ],
)
def test_the_callers_mistake(capsys: pytest.CaptureFixture[str], file: Path, arguments: list[str], told: str) -> None:
    """Exit code 2, the remedy on stderr, nothing on stdout."""
    code, err = ending(capsys, *(str(file) if argument == "FILE" else argument for argument in arguments))
    assert code == 2
    assert told in err


@pytest.mark.parametrize(
    "failure",
    [HubError("the hub is away"), OverloadError("too much", retry_after_s=1), PermissionError(13, "No", "/x")],
)
def test_our_failure(capsys: pytest.CaptureFixture[str], failure: Exception) -> None:
    """What the caller could not have known ends with 1 and its message."""

    def fail() -> None:
        raise failure

    assert run(fail) == 1
    assert capsys.readouterr().err == f"crossrank: {failure}\n"


def test_messages_are_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and line breaks in a file's name do not reach the terminal."""
    code, err = ending(capsys, "rank", "q", "a\x1b[31m\nb.txt")
    assert (code, err) == (2, "crossrank: a b.txt: no such file. Give a file of documents, or - for standard input.\n")


def started(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **given)


def test_a_reader_that_stops(file: Path) -> None:
    """When the reader of a pipe closes it (head does), the command ends with 0 and without a word."""
    for arguments in (["rank", "q", file, "--json"], ["--help"], ["models", "list"]):
        process = started(*arguments)
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(file: Path) -> None:
    """When stdout cannot be written the command ends with 1 and one message; without stderr the code still tells."""
    with Path("/dev/full").open("wb") as full:
        process = started("rank", "q", file, stdout=full.fileno())
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (
            1,
            b"crossrank: the output could not be written: No space left on device\n",
        )
        process = started("rank", "q", "none.txt", stderr=full.fileno())
        assert process.communicate(timeout=PATIENCE_S)[0] == b""
        assert process.returncode == 2


@pytest.mark.parametrize(
    ("redirections", "code", "told"),
    [
        ("2>&-", 0, ""),
        (">&-", 1, "crossrank: the output could not be written: standard output is closed\n"),
        ("<&- 2>&- >&-", 1, ""),
    ],
)
def test_closed_streams(file: Path, redirections: str, code: int, told: str) -> None:
    """A stream that is closed from the start is no reason for a traceback."""
    shell = ["sh", "-c", f'exec "$@" {redirections}', "sh", *COMMAND, "rank", "q", str(file)]
    result = subprocess.run(shell, capture_output=True, timeout=PATIENCE_S, check=False)
    assert (result.returncode, result.stderr.decode()) == (code, told)
    assert result.stdout.count(b"\n") == (2 if code == 0 else 0)


def test_documents_typed_on_a_terminal() -> None:
    """Reading from a terminal says so on it; Ctrl-D ends the documents."""
    terminal = Terminal("rank", "q", "-")
    terminal.wait_for("Ctrl-D")
    terminal.press("one\ntwo\n\x04")
    code, shown = terminal.end()
    assert code == 0
    assert "2 of 2 documents" in shown


def test_interrupted_while_reading() -> None:
    """Ctrl-C at the prompt ends with 130 and one word."""
    terminal = Terminal("rank", "q", "-")
    terminal.wait_for("Ctrl-D")
    terminal.press("\x03")
    code, shown = terminal.end()
    assert code == 130
    # The terminal may show the key itself a moment after the command has had its signal.
    assert "^C" in shown
    assert shown.replace("^C", "").endswith("\n\ncrossrank: interrupted\n")


def test_interrupted_while_scoring(large: Path) -> None:
    """Progress shows after a second; Ctrl-C stops the scoring soon, wipes the line and ends with 130."""
    terminal = Terminal("rank", "q", large, "--threads", 1)
    terminal.wait_for("Ranking 20,000 documents … ")
    terminal.press("\x03")
    pressed = time.monotonic()
    code, shown = terminal.end()
    assert code == 130
    assert time.monotonic() - pressed < 60  # seconds on a busy machine; all documents take minutes on an idle one
    assert "\x1b" not in terminal.written
    assert shown.replace("^C", "").strip() == "crossrank: interrupted"


def test_errors_break_between_words_on_a_terminal() -> None:
    """And are one line in a pipe."""
    code, shown = Terminal("rank", "q", "none.txt", columns=30).end()
    assert code == 2
    assert shown.splitlines() == [
        "crossrank: none.txt: no such",
        "file. Give a file of",
        "documents, or - for standard",
        "input.",
    ]


def test_interrupted_in_a_pipe(large: Path) -> None:
    """A SIGINT to a command without a terminal ends it with 130, one message, and no output."""
    process = started("rank", "q", "-", stdin=subprocess.PIPE, env=unmeasured())
    assert process.stdin is not None
    process.stdin.write(large.read_bytes())  # more than a pipe holds: once it is written, the command is reading
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err.split()) == (130, b"", [b"crossrank:", b"interrupted"])


def test_interrupted_at_the_start(file: Path) -> None:
    """A SIGINT while modules are being imported ends the command with 130 and without a traceback."""
    interrupt = "import os, signal, sys; sys.addaudithook(lambda event, given: event == 'import' and given[0] == {!r}"
    interrupt += " and os.kill(os.getpid(), signal.SIGINT)); from crossrank.cli.main import main; main()"
    for module in ("click", "crossrank.errors", "numpy", "crossrank.reranker", "tokenizers"):
        result = subprocess.run(
            [sys.executable, "-c", interrupt.format(module), "rank", "q", file],
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            env=unmeasured(),
        )
        assert (result.returncode, result.stdout) == (130, b""), module
        assert b"Traceback" not in result.stderr


def test_interrupted_with_a_thread_that_never_ends() -> None:
    """The process ends all the same, with 130."""
    script = """
import threading
from crossrank.cli import main

def interrupted():
    threading.Thread(target=threading.Event().wait).start()
    raise KeyboardInterrupt

main.THREADS_S_MAX = 0.1
main._cli = interrupted
main.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"crossrank: interrupted\n")
