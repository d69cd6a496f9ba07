"""deploy/ is true: what its files say of paths, ports, settings, times and metrics is there in the server."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrank import __version__
from crossrank.server.metrics import Metrics
from crossrank.server.openapi import GUARDED, PAGES
from crossrank.server.refusals import OVERLOADED
from crossrank.server.settings import Settings, read_settings, table, variable

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DOCS = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
VARIABLES = {variable(item.name) for item in table()} | {"CROSSRANK_API_KEY", "CROSSRANK_CACHE", "CROSSRANK_CONFIG"}
OUTSIDE = {"le", "job", "instance", "namespace", "pod"}  # labels that Prometheus adds
PORT = Settings().port
USER = 10001


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in found]


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture(scope="module")
def metrics() -> Iterator[dict[str, set[str]]]:
    """The label names of each series of /metrics."""
    counted = Metrics()
    collectors = counted._registry._names_to_collectors
    yield {name: {*collector._labelnames} for name, collector in collectors.items()}
    counted.close()


def test_every_variable_is_a_setting() -> None:
    """In all files of deploy/ and in the page; each value that is given can be taken."""
    for path in (*DEPLOY.rglob("*.*"), DEPLOY / "Dockerfile", ROOT / "docs" / "deploy.md"):
        named = set(re.findall(r"\bCROSSRANK_[A-Z_]+", path.read_text()))
        own = {"CROSSRANK_MODELS"} if path.name == "compose.yaml" else set()  # a folder of the host's
        assert named - VARIABLES - own == set(), path


def test_the_image_is_small_and_runs_as_nobody() -> None:
    """Two stages, nothing fetched by ADD, no key in it, a user that is not root, a check of readiness."""
    said = instructions()
    names = [name for name, _ in said]
    assert names.count("FROM") == 2
    assert "ADD" not in names
    assert all(re.search(r":\$\{PYTHON\}-slim-\w+", rest) for name, rest in said if name == "FROM")
    last = said[len(names) - 1 - names[::-1].index("FROM") :]
    final = dict(last)
    assert final["USER"] == f"{USER}:{USER}"
    assert [name for name, _ in last].index("USER") < [name for name, _ in last].index("ENTRYPOINT")
    assert json.loads(final["ENTRYPOINT"]) == ["crossrank", "serve"]
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert final["EXPOSE"] == str(PORT)
    assert f"-o {USER} -g {USER}" in final["RUN"]
    assert not re.search(r"API_KEY|TOKEN|PASSWORD", " ".join(rest for _, rest in said))
    check = re.search(r"CMD (\[.*\])$", final["HEALTHCHECK"])
    assert check is not None
    compile(json.loads(check[1])[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{PORT}/ready" in check[1]
    environ = dict(re.findall(r"(\w+)=(\S+)", final["ENV"]))
    assert read_settings({}, environ).host == "0.0.0.0"
    assert f" {environ['CROSSRANK_CACHE']}" in final["RUN"]


def test_the_image_is_built_of_what_it_needs_only() -> None:
    """.dockerignore lets in what building takes, and neither history nor what lies about."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
    assert let_in == {"native", "src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in let_in)


def test_compose_is_locked_down_and_gives_calls_their_time() -> None:
    """Read-only, no capabilities, a key that must be given, on loopback; a grace period longer than the server's."""
    service = manifest("compose.yaml")["services"]["crossrank"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert ":?" in service["environment"]["CROSSRANK_API_KEY"]
    assert seconds(service["stop_grace_period"]) > float(service["environment"]["CROSSRANK_SHUTDOWN_S"]) + 5
    assert {mount.split(":")[0] for mount in service["tmpfs"]} == {"/tmp", "/var/cache/crossrank"}
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def seconds(said: str) -> float:
    return float(said.removesuffix("s"))


def test_the_pod_is_probed_where_the_server_answers_without_a_key() -> None:
    """Life at /health, traffic by /ready; a large model has time to open, and calls have time to end."""
    spec = manifest("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == f"crossrank:{__version__}"
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    assert set(paths.values()) <= set(PAGES) - GUARDED
    assert all(probe["httpGet"]["port"] == "http" for probe in probes.values())
    environ = {item["name"]: item["value"] for item in container["env"]}
    settings = read_settings({}, environ)
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > settings.shutdown_s + pause
    assert pause > probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]
    assert settings.threads == int(container["resources"]["requests"]["cpu"])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"/etc/crossrank", "/var/cache/crossrank", "/tmp"}
    assert settings.api_key_file == "/etc/crossrank/keys"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_the_pod_may_do_nothing_else() -> None:
    """Not root, no writable root, no capabilities, no token of the cluster's."""
    spec = manifest("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    inner = spec["containers"][0]["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == USER
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False  # else CROSSRANK_PORT=tcp://... would be read as a setting
    assert inner == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_manifests_belong_together() -> None:
    """One set of labels, names that are there, one pod at least while others go, no gap in a rollout."""
    listed = manifest("kubernetes/kustomization.yaml")["resources"]
    kinds = {found["kind"]: found for found in (manifest(f"kubernetes/{name}") for name in listed)}
    assert set(kinds) == {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    deployment, service = kinds["Deployment"]["spec"], kinds["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels == deployment["selector"]["matchLabels"] == service["selector"]
    assert labels == kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert service["ports"][0]["targetPort"] == "http"
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    scaler = kinds["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]
    assert scaler["minReplicas"] == deployment["replicas"] > kinds["PodDisruptionBudget"]["spec"]["minAvailable"]
    (rule,) = manifest("kubernetes/prometheus-adapter.yaml")["rules"]["custom"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == rule["name"]["as"]
    annotations = deployment["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in PAGES
    assert annotations["prometheus.io/port"] == str(PORT)


def test_the_unit_is_sound_and_hardened(tmp_path: Path) -> None:
    """As systemd itself judges it; settings can be taken, and calls have time to end."""
    text = (DEPLOY / "systemd" / "crossrank.service").read_text()
    environ = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
    settings = read_settings({}, environ)
    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop is not None
    assert float(stop[1]) > settings.shutdown_s + 5
    assert "ExecReload=/bin/kill -HUP $MAINPID" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "crossrank.service"
    unit.write_text(text.replace("/opt/crossrank/bin/crossrank", "/bin/true"))  # it has to be there to be verified
    verified = analyze("verify", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyze("security", "--offline=true", str(unit))
    exposure = re.search(r"Overall exposure level[^:]*: ([\d.]+)", judged.stdout)
    assert exposure is not None
    assert float(exposure[1]) < 2


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def expressions() -> dict[str, str]:
    """Each query of the dashboard, the alerts and the adapter, by where it stands."""
    board = json.loads((DEPLOY / "grafana" / "crossrank.json").read_text())
    found = {f"{p['title']} {t['refId']}": t["expr"] for p in board["panels"] for t in p.get("targets", [])}
    found |= {v["name"]: v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"}
    rules = manifest("prometheus/alerts.yaml")["groups"][0]["rules"]
    found |= {rule["alert"]: rule["expr"] for rule in rules}
    (adapted,) = manifest("kubernetes/prometheus-adapter.yaml")["rules"]["custom"]
    return found | {"adapter": adapted["metricsQuery"], "adapter's series": adapted["seriesQuery"]}


@pytest.mark.parametrize("where", expressions())
def test_only_metrics_and_labels_that_exist_are_asked_for(where: str, metrics: dict[str, set[str]]) -> None:
    """Each name is on /metrics; each label that is matched or summed by is one of its own, or Prometheus's."""
    query = expressions()[where]
    named = re.findall(r"\b(crossrank_\w+)(?:\{([^}]*)\})?", query)
    assert named
    labels: set[str] = set()
    for name, matchers in named:
        assert name in metrics, name
        labels |= metrics[name]
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)) <= metrics[name] | OUTSIDE, matchers
    for by in re.findall(r"by \((?!<<)([^)]*)\)", query):
        assert {name.strip() for name in by.split(",")} <= labels | OUTSIDE, by
    for one, other in ("()", "[]", "{}"):
        assert query.count(one) == query.count(other)


def test_the_dashboard_is_whole() -> None:
    """Ids differ, panels do not overlap, variables that are used are there."""
    board = json.loads((DEPLOY / "grafana" / "crossrank.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used <= {item["name"] for item in board["templating"]["list"]}


def test_alerts_are_explained() -> None:
    """Each has a summary and its line in docs/deploy.md, and the page names no others; codes are the server's."""
    rules = manifest("prometheus/alerts.yaml")["groups"][0]["rules"]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "ticket") for rule in rules)
    assert {rule["alert"] for rule in rules} == set(re.findall(r"`(Crossrank\w+)`", DOCS))
    assert f'code="{OVERLOADED}"' in next(rule["expr"] for rule in rules if rule["alert"] == "CrossrankRefuses")


def test_files_that_the_page_names_are_there() -> None:
    """Links and paths."""
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", DOCS):
        assert (ROOT / "docs" / link).exists(), link
    for path in re.findall(r"\b(deploy/[\w./-]+\w)", DOCS):
        assert (ROOT / path).exists(), path
