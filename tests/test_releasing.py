"""What releases are made of and by: one version, wheels without surprises, workflows that may do little."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import crossrank

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")


def check_release(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_release.py", *arguments], capture_output=True, text=True, check=False
    )


def test_the_version_stands_in_one_place() -> None:
    """pyproject.toml takes it from the package, and the changelog begins with what is not released."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert check_release().returncode == 0


@pytest.mark.parametrize("tag", ["v0.0.1", crossrank.__version__, f"v{crossrank.__version__}.1", "main"])
def test_another_tag_is_no_release(tag: str) -> None:
    """And the script says which version it is."""
    ran = check_release(tag)
    assert ran.returncode == 1
    assert f"the tag is {tag}, and __version__ {crossrank.__version__}" in ran.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_do_what_it_must(file: Path) -> None:
    """Actions are pinned by commit, nothing is allowed to all, no job keeps the checkout's key, all end in time."""
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        writes = {kind for kind, may in job["permissions"].items() if may == "write"}
        assert writes <= ({"id-token", "attestations"} if name in ("attest", "publish") else set()), name
        for step in job["steps"]:
            action = step.get("uses")
            assert action is None or PINNED.fullmatch(action), action
            if action is not None and action.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    assert "secrets." not in file.read_text(encoding="utf-8"), "a release needs no token"


def test_there_are_workflows() -> None:
    """The one before was not of an empty folder."""
    assert {file.stem for file in WORKFLOWS} == {"ci", "release"}


ENGINE = "crossrank/_native.abi3.so"
NOTES = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/native/THIRD-PARTY.txt"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "sound"),
        ({"crossrank/py.typed": None}, "crossrank/py.typed is missing"),
        ({"tests/test_a.py": b""}, "tests/test_a.py does not belong there"),
        ({"crossrank/.env": b"KEY=1"}, "crossrank/.env does not belong there"),
        ({ENGINE: None}, "there are 0 compiled engines, not 1"),
        ({ENGINE: b"\0/home/ann/src/encoder.cpp\0"}, "names a folder of the machine that built it: /home/ann/src"),
        ({ENGINE: bytes(3_000_001)}, "3,000,001 bytes; 3,000,000 are the budget"),
        ({"crossrank/errors.py": bytes(3_000_001)}, "3,000,001 bytes; 3,000,000 are the budget"),
        ({"crossrank-0.dist-info/licenses/native/THIRD-PARTY.txt": None}, "the licences are missing"),
    ],
)
def test_a_wheel_holds_what_it_should(change: Mapping[str, bytes | None], said: str, tmp_path: Path) -> None:
    """Every file that git knows below src, one engine, the licences; nothing else, and no more of it than planned."""
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")
    content: dict[str, bytes | None] = dict.fromkeys((name[4:] for name in listed.stdout.split()), b"")
    content |= {f"crossrank-0.dist-info/{name}": b"" for name in NOTES} | {ENGINE: b""} | change
    with zipfile.ZipFile(tmp_path / "crossrank.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in content.items():
            if data is not None:
                wheel.writestr(name, data)
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_wheel.py", tmp_path / "crossrank.whl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in ran.stdout, ran.stderr
    assert ran.returncode == (said != "sound")
