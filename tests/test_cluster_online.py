"""What the server on Ray Serve decides before, and without, any cluster."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crossrank import __version__
from crossrank.cli.serve import command
from crossrank.cluster.replica import Replica
from crossrank.cluster.scaling import TARGET_S, ByWait
from crossrank.cluster.serve import NAME, SURGE_PERCENT, _as_told, application, serve_on_ray
from crossrank.errors import CrossrankError, UsageError
from crossrank.server.settings import Settings, settings_of

ROOT = Path(__file__).resolve().parent.parent


def wanted(waits: dict[str, float], target_s: float = 0.5) -> float:
    return ByWait(target_s)(SimpleNamespace(aggregated_metrics={"wait_s": waits}))[0]  # type: ignore[arg-type]


@pytest.mark.property
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=20), st.floats(0.01, 100))
def test_each_replica_would_have_the_target_to_do(waits: dict[str, float], target_s: float) -> None:
    """The work of all, shared among as many as are wanted; more work never wants fewer."""
    assert wanted(waits, target_s) * target_s == pytest.approx(sum(waits.values()))
    assert wanted({**waits, "one more": 1.0}, target_s) >= wanted({**waits, "one more": 0.0}, target_s)


def test_nothing_is_wanted_of_what_is_not_known() -> None:
    """Serve keeps its least number of replicas until they tell."""
    assert ByWait()(SimpleNamespace(aggregated_metrics=None)) == (0.0, {})  # type: ignore[arg-type]
    assert ByWait()(SimpleNamespace(aggregated_metrics={})) == (0.0, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("target_s", [0, -1, float("nan")])
def test_a_target_that_cannot_be_met_is_refused(target_s: float) -> None:
    """By Serve, when the config file is read."""
    with pytest.raises(ValueError, match="above 0"):
        ByWait(target_s)


def test_settings_reach_a_replica_as_they_were() -> None:
    """As plain values, of which only what differs is told."""
    settings = Settings(model=("a", "b=c"), queue_s=2.5, no_auth=True, threads=3, api_key_file="keys")
    assert settings_of(_as_told(settings), "x") == settings
    assert set(_as_told(settings)) == {"model", "queue_s", "no_auth", "threads", "api_key_file"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"modle": "x"}, "args: no setting 'modle'. Did you mean 'model'"),
        ({"threads": 0}, "args: threads is 0; it must be at least 1"),
        ({"lazy": "maybe"}, "args: lazy is 'maybe', where true or false is meant"),
    ],
)
def test_args_that_cannot_be_taken_are_named(args: dict[str, Any], says: str) -> None:
    """As a line of the server's own file."""
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        application(args)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--address", "head:6379"], "--address and --workers-max are about a cluster of Ray; give --ray"),
        (["--workers-max", "2"], "give --ray"),
        (["--ray", "--uds", "/tmp/x"], "--uds: the proxies of Ray Serve listen on addresses only"),
        (["--ray", "--port", "0"], "--port 0: Ray Serve takes no free port"),
        (["--ray", "--workers", "3", "--workers-max", "2"], "--workers-max 2 is fewer than --workers 3"),
        (["--ray", "--host", "0.0.0.0"], "can be reached by others, and no key is set"),
        (["--ray", "--address", "nonsense"], "give host:port, 'auto' or 'local'"),
    ],
)
def test_mistakes_are_told_before_a_cluster_is_asked(given: list[str], says: str) -> None:
    """With what to do."""
    with pytest.raises(UsageError, match=says):
        CliRunner().invoke(command, given, catch_exceptions=False)


def test_a_cluster_that_is_not_there_is_an_error_of_ours() -> None:
    """At once, with its address."""
    with pytest.raises(CrossrankError, match=r"no Ray cluster at '127\.0\.0\.1:9'"):
        serve_on_ray(Settings(), address="127.0.0.1:9", workers_max=None, told=lambda _: None)


@pytest.mark.parametrize(
    ("told", "version", "says"),
    [
        ({}, "0.0.0", f"crossrank 0.0.0 deploys to a machine that has crossrank {__version__}"),
        ({"host": "0.0.0.0", "threads": 1}, __version__, "no key is set"),
        ({"threads": 1, "api_key_file": "/none"}, __version__, "the keys in /none cannot be read"),
        ({"threads": 1, "model": ["./none"]}, __version__, "none"),
    ],
)
def test_a_replica_that_must_not_answer_does_not_start(
    told: dict[str, Any], version: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve then keeps the ones that it has, and says why."""
    monkeypatch.delenv("CROSSRANK_API_KEY", raising=False)
    with pytest.raises(CrossrankError, match=says):
        asyncio.run(Replica.__init__(object.__new__(Replica), told, version))


def test_a_missing_ray_is_named_with_its_remedy() -> None:
    """By the command and by the application; --help needs none."""
    script = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['crossrank', 'serve', *sys.argv[1:]]; "
        "from crossrank.cli.main import main; main()"
    )
    run = [sys.executable, "-c", script]
    done = subprocess.run([*run, "--ray"], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "crossrank: ray is not installed. Run: pip install 'crossrank[ray,server]'\n"
    assert subprocess.run([*run, "--help"], capture_output=True, timeout=240, check=False).returncode == 0


def test_the_config_file_says_what_the_code_knows() -> None:
    """deploy/ray/serve.yaml: its settings are settings, its policy is ours, its numbers are those of the code."""
    config = yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text())
    [app] = config["applications"]
    [deployment] = app["deployments"]
    policy = deployment["autoscaling_config"]["policy"]
    settings = settings_of(app["args"], "args")
    assert settings.api_key_file is not None
    assert app["import_path"] == f"{application.__module__}:{application.__name__}"
    assert policy["policy_function"] == f"{ByWait.__module__}:{ByWait.__name__}"
    assert policy["policy_kwargs"] == {"target_s": TARGET_S}
    assert (deployment["name"], deployment["max_surge_percent"]) == (NAME, SURGE_PERCENT)
    assert config["http_options"]["port"] == settings.port
    assert config["http_options"]["keep_alive_timeout_s"] == settings.keep_alive_s
