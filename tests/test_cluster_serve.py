"""The server on Ray Serve: models change, replicas are replaced and added under load, and no call fails."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrank import Reranker
from crossrank.cluster.serve import NAME, _why, application
from scaling import Callers, free_port, own_ray

pytestmark = pytest.mark.scale

ROOT = Path(__file__).resolve().parent.parent
QUERY, DOCUMENTS = "who created python", ["Ruby is by Matz.", "Guido van Rossum created Python."]
BODY = {"query": QUERY, "documents": DOCUMENTS}
WAIT_S = 120.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve on a Ray of its own, and its port."""
    serve = pytest.importorskip("ray.serve")  # only now: a run without these tests is not to wait for it
    port = free_port()
    with own_ray():
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield port


def deploy(**settings: Any) -> None:
    """Have Serve run the application with these settings, and wait until it does."""
    from ray import serve

    app = application({"host": "127.0.0.1", "threads": 1, "log_calls": False, **settings})
    serve.run(app, name=NAME)


def best(model: Path) -> float:
    with Reranker(model, threads=1) as reranker:
        score = reranker.rank(QUERY, DOCUMENTS)[0].score
    assert score is not None
    return score


def ask(port: int, path: str, body: Any = None) -> Any:
    """What is answered, as text."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", sent, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return answer.read().decode()


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait, within a bound, until something is so of other processes; what it gave."""
    end = time.monotonic() + WAIT_S
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


def test_a_model_changes_under_load_and_no_call_fails(port: int, checkpoint: Callable[..., Path]) -> None:
    """Two replicas, four callers who never ask twice: each answer is the old model's or the new one's."""
    first, second = checkpoint("bert"), checkpoint("electra")
    deploy(model=[f"old={first}"], workers=2)
    with Callers(port, "/v2/rerank", BODY) as callers:
        callers.until(lambda it: len(it.answers) > 50, "50 answers")
        deploy(model=[f"new={second}"], workers=2)
        known = len(callers.answers)
        callers.until(lambda it: len(it.answers) > known + 50, "50 answers of the new model")
    assert callers.failures == []
    scores = {"old": best(first), "new": best(second)}
    assert {(model, score) for _, model, score in callers.answers} == {*scores.items()}
    assert {model for _, model, _ in callers.answers[-40:]} == {"new"}


def test_a_model_that_cannot_be_opened_leaves_the_old_one(
    port: int, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """One replica, under load: the change is refused with the reason, and nobody notices."""
    deploy(model=[f"old={checkpoint('bert')}"])
    (tmp_path / "config.json").write_text("{}")
    with Callers(port, "/v2/rerank", BODY, number=2) as callers:
        callers.until(lambda it: len(it.answers) > 10, "10 answers")
        with pytest.raises(RuntimeError, match="Failed to update"):
            deploy(model=[f"new={tmp_path}"])
        assert "config.json" in _why(RuntimeError())
        known = len(callers.answers)
        callers.until(lambda it: len(it.answers) > known + 10, "10 more answers")
    assert callers.failures == []
    assert {model for _, model, _ in callers.answers} == {"old"}


def test_health_pages_and_metrics_are_the_servers_own(port: int, checkpoint: Callable[..., Path]) -> None:
    """Through Serve's proxy; the counters are in Ray's own metrics as well, by replica."""
    import ray

    deploy(model=[f"tiny={checkpoint('bert')}"])
    assert json.loads(ask(port, "/ready")) == {"status": "ready"}
    assert ask(port, "/-/healthz") == "success"
    assert [model["id"] for model in json.loads(ask(port, "/v1/models"))["data"]] == ["tiny"]
    for _ in range(3):
        ask(port, "/rerank", BODY)
    [node] = ray.nodes()
    address = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
    wanted = "ray_crossrank_http_requests_total{"

    def counted() -> list[str]:
        with urllib.request.urlopen(address, timeout=WAIT_S) as page:
            lines = page.read().decode().splitlines()
        return [
            line for line in lines if line.startswith(wanted) and 'route="/rerank"' in line and line.endswith(" 3.0")
        ]

    line = until(counted, "no metrics of the replica")[0]
    assert 'application="crossrank"' in line
    assert 'status="200"' in line


def test_a_replica_that_dies_takes_its_own_calls_with_it_and_is_replaced(
    port: int, checkpoint: Callable[..., Path]
) -> None:
    """Two replicas, one killed: at most the calls that it held fail, each with a status, and the rest are answered."""
    deploy(model=[f"tiny={checkpoint('bert')}"], workers=2)
    with Callers(port, "/v2/rerank", BODY) as callers:
        callers.until(lambda it: len(it.answers) > 20, "20 answers")
        before = replicas()
        os.kill(before[0], signal.SIGKILL)
        known = len(callers.answers)
        callers.until(lambda it: len(it.answers) > known + 20, "20 more answers")
        until(lambda: len(replicas()) == 2 and before[0] not in replicas(), "no new replica")
    assert len(callers.failures) <= callers.number
    assert all(said[:3] in ("500", "502", "503") for said in callers.failures), callers.failures


def test_the_config_file_runs_and_adds_replicas_as_calls_wait(
    port: int, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """deploy/ray/serve.yaml with a key's file that is there, shorter delays and less patience; a key is asked for."""
    from ray import serve

    serve.delete(NAME)  # of another test: its replicas would be kept for a while
    config = yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text())
    (tmp_path / "keys").write_text("secret name=test\n")
    [app] = config["applications"]
    app["args"] |= {"api_key_file": str(tmp_path / "keys"), "threads": 1, "score_cache": False}
    scaling = app["deployments"][0]["autoscaling_config"]
    scaling |= {"min_replicas": 1, "max_replicas": 2, "look_back_period_s": 2, "upscale_delay_s": 1}
    scaling["policy"]["policy_kwargs"] = {"target_s": 0.02}  # which four callers are above on any machine
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).parent / "serve"), "run", "--non-blocking", str(tmp_path / "serve.yaml")]
    subprocess.run([*command, "--address", address()], check=True, timeout=WAIT_S, capture_output=True)
    until(lambda: len(replicas()) == 1, "no replica")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(port, "/rerank", BODY)
    body = {"query": QUERY, "documents": [f"{text} {n}" for n in range(200) for text in DOCUMENTS]}
    with Callers(port, "/v2/rerank", body, key="secret") as callers:
        until(lambda: len(replicas()) == 2, "no second replica")
    assert callers.failures == []


def test_the_command_serves_on_a_cluster_until_it_is_told_to_end(port: int, checkpoint: Callable[..., Path]) -> None:
    """`crossrank serve --ray --address`: SIGTERM takes the application away again, and nothing else."""
    from ray import serve

    command = [sys.executable, "-m", "crossrank", "serve", "--ray", "--address", address(), "--workers-max", "2"]
    process = subprocess.Popen(
        [*command, "--model", f"cli={checkpoint('bert')}"], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    try:
        said = next(line for line in process.stderr if line.startswith("crossrank"))
        assert said == "crossrank serves at the address of its cluster (stop with Ctrl-C)\n"
        assert json.loads(ask(port, "/v2/rerank", BODY))["model"] == "cli"
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(WAIT_S) == 0, rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert serve.status().applications == {}


def address() -> str:
    """Of the cluster."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def replicas() -> list[int]:
    """The processes of all replicas that live."""
    from ray._private.state import actors  # the public way is through the dashboard, which tests do without

    found = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    return sorted(actor["Pid"] for actor in found if "ServeReplica" in actor["ActorClassName"])
