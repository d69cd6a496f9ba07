"""The documentation is true: every block of Python and every command of a page runs, and prints what the page shows.

What a page needs beyond that (a vendor's server, Redis, a tiny model) is set up by a test of its own: see ELSEWHERE.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from crossrank import Reranker
from crossrank.cli.group import cli
from crossrank.documents.texts import NESTING_MAX
from crossrank.engine.cut import WINDOWS_MAX
from crossrank.evaluate.calibrate import PAIRS_MIN
from crossrank.explain.explain import UNITS_MAX
from crossrank.schedule.scheduler import WAITING_MAX
from crossrank.server.settings import Settings
from docblocks import CODE, DOCS, Block, blocks, differs
from serving import Reusable, Serving

ROOT = DOCS.parent
ADDRESS = "http://127.0.0.1:8000"
COMMAND_S = 240
# Pages that another test runs, and what it has that this one has not. It has to name the page.
ELSEWHERE = {
    "caching.md": ("test_caching_docs.py", "a Redis server"),
    "calibration.md": ("test_meaning_docs.py", "figures that depend on the processor, in tables"),
    "choosing.md": ("test_choosing_docs.py", "a vendor's server, and figures that are this machine's"),
    "cluster.md": ("test_cluster_docs.py", "Ray, of which `make test-scale` is"),
    "evaluation.md": ("test_cli_eval.py", "its set, in a folder"),
    "explain.md": ("test_meaning_docs.py", "shares, to a tolerance of their own"),
    "many-queries.md": ("test_many_docs.py", "files in a folder, and what they hold after it"),
    "observability.md": ("test_observe_docs.py", "what it prints, in part"),
    "remote.md": ("test_remote_docs.py", "a vendor's server"),
    "scale.md": ("test_scale_docs.py", "a Ray cluster and Spark of its own"),
    "server.md": ("test_server_docs.py", "a server, and the vendors' clients"),
    "training.md": ("test_train_docs.py", "a tiny model, so that a step takes no time"),
}
# Commands of consoles that are not run, by how they begin.
NOT_RUN = {
    "pip install": "changes the environment; tests/test_package.py checks what extras hold",
    "make ": "builds or measures; each target has a test or a log of its own",
    "docker ": "needs a daemon",
    "crossrank serve": "does not end; where a page needs the server, it runs behind the page's address",
}
CLIENTS = {"cohere": "current", "voyageai": "current"}  # vendors' libraries, in environments of their own
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with this `crossrank` as a command and the examples beside."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, what in (("crossrank", " -m crossrank"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{what} "$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    home = tmp_path / "here"
    home.mkdir()
    (home / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def address(request: pytest.FixtureRequest, bundled: Reranker) -> Iterator[str]:
    """Where `crossrank serve` answers, for a page that has its address."""
    if ADDRESS not in text_of(request.node.callspec.params["page"]):
        yield ADDRESS
        return
    with Serving(Reusable(bundled), model=("crossrank-mini",)) as server:
        yield server.url


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE])
def test_a_page_runs(page: str, folder: Path, address: str) -> None:
    """Block by block, in one session, in an empty folder, without a network."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text_of(page)):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language in CODE and block.not_run is None:
            run(block, page, names, address)


def run(block: Block, page: str, names: dict[str, object], address: str) -> None:
    """One block; what it prints is what is shown, up to the server's address."""
    where = f"docs/{page}:{block.line}"
    if block.language == "python":
        printed = python(block.code.replace(ADDRESS, address), where, names, address)
        if block.shown is not None:
            found = differs(block.shown, printed.replace(address, ADDRESS))
            assert found is None, f"{where}\n{found}"
        return
    for command, shown in block.commands:
        if any(command.startswith(start) for start in NOT_RUN):
            continue
        line = ["bash", "-c", command.replace(ADDRESS, address)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        failing = shown.startswith("crossrank: ")  # an error's message is what the page is showing
        assert (done.returncode != 0) == failing, f"{where}: {command}\n{done.stderr}"
        found = differs(shown, (done.stdout + done.stderr).replace(address, ADDRESS)) if shown.strip() else None
        assert found is None, f"{where}: {command}\n{found}"


def python(code: str, where: str, names: dict[str, object], address: str) -> str:
    """What a block prints: in this process, or, where it is a vendor's client, in that one's environment.

    A client of Cohere's that names no address asks the server of the page.
    """
    client = next((name for name in CLIENTS if f"import {name}\n" in code), None)
    if client is None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, where, "exec"), names)
        return printed.getvalue()
    interpreter = ROOT / f".venv-{CLIENTS[client]}" / "bin" / "python"
    if not interpreter.exists():
        pytest.skip(f"scripts/sdk_env.sh {CLIENTS[client]} was not run; `make test` runs it")
    here = {**os.environ, "CO_API_URL": address, "CO_API_KEY": "any"}
    done = subprocess.run(
        [interpreter, "-c", code], env=here, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, f"{where}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("page", "runner"), [(page, runner) for page, (runner, _) in ELSEWHERE.items() if page in PAGES]
)
def test_what_is_run_elsewhere_is(page: str, runner: str) -> None:
    """The page is there, has blocks, and the named test reads it."""
    assert any(block.language in CODE for block in blocks(text_of(page)))
    assert Path(page).stem in (DOCS.parent / "tests" / runner).read_text(encoding="utf-8")


def test_what_is_not_run_says_why() -> None:
    """No block of Python is left out but with a reason."""
    left_out = [block.not_run for page in PAGES for block in blocks(text_of(page)) if block.not_run is not None]
    assert all(len(reason.split()) > 2 for reason in left_out)


def commands_of(text: str) -> Iterator[list[str]]:
    """Each `crossrank ...` of a page's code, in words: fenced or indented, after a prompt or a pipe or nothing."""
    code = [block.code for block in blocks(text) if block.language in ("", "console", "bash", "text")]
    code += re.findall(r"^    (.*)$", text, re.MULTILINE)
    for line in "\n".join(code).replace("\\\n", " ").splitlines():
        found = re.match(r"^(?:\$ )?(?:.*\| )?crossrank ((?:[a-z-]+ ?).*)$", line)
        if found is not None:
            yield shlex.split(found[1], comments=True)


@pytest.mark.parametrize("page", [*PAGES, "../README.md", "../CONTRIBUTING.md"])
def test_the_options_of_commands_exist(page: str) -> None:
    """Of every command that a page shows, run or not."""
    for line in commands_of(text_of(page)):
        words, command = line, cli
        context = click.Context(cli, info_name="crossrank")
        while isinstance(command, click.Group):
            inner = command.list_commands(context)
            named = next((word for word in words if word.lstrip("-") in inner), None)  # `models --recommend` is one too
            if named is None:
                assert not words or words[0].startswith("-"), f"{page}: crossrank {words[0]}"
                break
            command, words = command.get_command(context, named.lstrip("-")), [word for word in words if word != named]
            assert command is not None
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        assert given <= known | {"--help", "-h", "--version"}, f"{page}: {command.name} {given - known}"


def test_extras_are_all_told() -> None:
    """On the page that one begins with, and no others."""
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    table = text_of("start.md").partition("## Extras")[2]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == extras


def test_limits_are_those_of_the_code() -> None:
    """Those that docs/limits.md states as numbers."""
    said = {row[0]: row[1] for row in re.findall(r"^\| (.*?) \| (.*?) \|$", text_of("limits.md"), re.MULTILINE)}
    settings = Settings()
    assert said["windows of one document"] == f"{WINDOWS_MAX}, `windows_max=`"
    assert said["documents that may wait, of all callers together"] == f"{WAITING_MAX:,}, `waiting_max=`"
    assert said["nesting of a mapping"] == f"{NESTING_MAX} levels"
    assert said["parts of an explanation"] == f"{UNITS_MAX['sentence']} sentences or {UNITS_MAX['word']} words"
    assert said["pairs for a calibration"].startswith(f"{PAIRS_MIN} at least")
    assert said["documents of one HTTP call"] == f"{settings.documents_max:,}, `--documents-max`"
    assert said["body of one HTTP call"] == f"{settings.body_mb_max} MB, `--body-mb-max`"


def test_variables_of_the_environment_are_all_told() -> None:
    """In docs/stability.md, which promises them; those of the server's settings are told on its own page."""
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    read = set(re.findall(r'"(CROSSRANK_[A-Z_]*[A-Z])"', sources))
    assert "CROSSRANK_CACHE" in read
    assert read <= set(re.findall(r"`(CROSSRANK_[A-Z_]+)`", text_of("stability.md")))


def test_what_counts_as_the_same() -> None:
    """Spaces, and figures that precisions change; nothing else."""
    assert differs("1  0.91  a\n", "1 0.93 a") is None
    assert differs("1 0.91 a", "1 0.71 a") is not None
    assert differs("a\n...\nd", "a\nb\nc\nd") is None
    assert differs("a\n...", "a\nb") is None
    assert differs("a", "a\nb") is not None
    assert differs("a\nb", "a") is not None
