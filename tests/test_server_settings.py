"""Settings: a flag, else a variable, else a line of TOML, else the default; each checked, each shown by --help."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossrank.cli.serve import command
from crossrank.errors import UsageError
from crossrank.opening import open_ranker
from crossrank.reranker import Reranker
from crossrank.server.settings import Settings, flag, read_settings, table, variable

NAMES = [item.name for item in table()]


def test_the_order_of_what_counts(tmp_path: Path) -> None:
    """Each source overrides the ones below it."""
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nhost = "::1"\nqueue_s = 3\nmodel = ["a", "b"]\nlazy = true\n')
    environ = {"CROSSRANK_PORT": "2", "CROSSRANK_HOST": "localhost", "CROSSRANK_MODEL": "c, d"}
    settings = read_settings({"port": "3"}, environ, file)
    assert (settings.port, settings.host, settings.queue_s) == (3, "localhost", 3.0)
    assert (settings.model, settings.lazy, settings.workers) == (("c", "d"), True, 1)
    file.write_bytes(b"\xef\xbb\xbfport = 1\r\n")  # as editors of Windows save it
    assert read_settings({}, {}, file).port == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("port", "x", "CROSSRANK_PORT is 'x', where a whole number is meant"),
        ("port", "1.5", "whole number"),
        ("workers", "0", "must be at least 1"),
        ("replicas", "0", "must be at least 1"),
        ("replicas", "two", "a whole number, or auto, is meant"),
        ("timeout_s", "nan", "a number is meant"),
        ("timeout_s", "1e999", "a number is meant"),
        ("lazy", "maybe", "true or false is meant"),
        ("overload_status", "500", "it can be 429, 503"),
        ("log_level", "loud", "it can be debug, info"),
        ("long_documents", "x", "it can be chunk, truncate"),
    ],
)
def test_a_value_that_cannot_be_taken_is_named_with_its_source(name: str, value: str, says: str) -> None:
    """And with what can."""
    with pytest.raises(UsageError, match=says):
        read_settings({}, {variable(name): value})
    with pytest.raises(UsageError, match=f"^{flag(name)} "):
        read_settings({name: value}, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "no setting 'prot'. Did you mean 'port'"),
        ("port = true", "where a whole number is meant"),
        ("port =", "cannot be read"),
        ("model = 'a'\nworkers = 1.5", "whole number"),
        ("host = 5", "a text is meant"),
        ("model = [1]", "a list of texts is meant"),
    ],
)
def test_a_file_of_settings_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    """The file is named."""
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_settings({}, {}, file)
    assert str(file) in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings({}, {}, tmp_path / "none.toml")


def test_help_shows_every_setting_with_its_variable_and_default() -> None:
    """As the table has them."""
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for item in table():
        assert flag(item.name) in text, item.name
        assert variable(item.name) in text, item.name
    assert "CROSSRANK_CONFIG" in text
    assert "CROSSRANK_API_KEY" in text


@pytest.mark.parametrize(
    ("item", "given", "expected"),
    [
        ("port", ["--port", "9000"], 9000),
        ("model", ["-m", "a", "--model", "b=c"], ("a", "b=c")),
        ("lazy", ["--lazy"], True),
        ("score_cache", ["--no-score-cache"], False),
        ("log_calls", ["--no-log-calls"], False),
        ("no_auth", ["--no-auth"], True),
    ],
)
def test_flags(item: str, given: list[str], expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command hands its settings on."""
    seen: list[Settings] = []
    monkeypatch.setattr("crossrank.server.serve.serve", lambda settings, *_, **__: seen.append(settings) or 0)
    result = CliRunner().invoke(command, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert getattr(seen[0], item) == expected


def test_what_a_model_is_opened_with(checkpoint: Any) -> None:
    """Options of the engine go to models of this machine, and none to a vendor's."""
    settings = Settings(threads=1, precision="fp32", score_cache=False)
    assert settings.engine == {"threads": 1, "precision": "fp32", "cache": None}
    assert Settings().engine == {}
    assert read_settings({"replicas": "2"}, {}).engine == {"replicas": 2}
    assert read_settings({}, {"CROSSRANK_REPLICAS": "auto"}).engine == {"replicas": "auto"}
    assert read_settings({"devices": ("cuda:0", "cuda:1")}, {}).engine == {"devices": ("cuda:0", "cuda:1")}
    with open_ranker(settings, str(checkpoint("bert"))) as ranker:
        assert isinstance(ranker, Reranker)
        assert (ranker.facts.precision, ranker.facts.threads) == ("fp32", 1)
    with open_ranker(settings, "http://127.0.0.1:9") as ranker:
        assert not isinstance(ranker, Reranker)


@pytest.mark.parametrize("name", ["msgspec", "uvicorn", "uvloop", "httptools", "prometheus_client"])
def test_a_missing_library_is_named_with_its_remedy(name: str) -> None:
    """Whichever of them is missing; --help needs none."""
    script = (
        f"import sys; sys.modules[{name!r}] = None; sys.argv = ['crossrank', 'serve', *sys.argv[1:]]; "
        "from crossrank.cli.main import main; main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"crossrank: {name} is not installed. Run: pip install 'crossrank[server]'\n"
    assert subprocess.run([*command, "--help"], capture_output=True, timeout=60, check=False).returncode == 0


def test_names_of_settings_are_no_names_of_others() -> None:
    """CROSSRANK_CACHE, CROSSRANK_ISA and CROSSRANK_API_KEY mean something else."""
    assert not {"cache", "isa", "api_key", "config"} & set(NAMES)
