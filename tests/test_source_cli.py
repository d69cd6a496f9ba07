"""`crossrank models` with a hub: pulling, describing, listing and removing what it has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank.checkpoint.source import BUNDLED
from hub import NAME, Hub, Machine


def test_models_are_pulled_described_listed_and_removed(hub: Hub, machine: Machine) -> None:
    """`crossrank models` does what it says and ends with 0."""
    pulled = machine.crossrank("models", "pull", NAME)
    assert (pulled.returncode, pulled.stdout.startswith(f"{NAME}: ready (bert, 64 tokens)")) == (0, True)
    described = machine.crossrank("models", "info", NAME, "--json", offline=True)
    assert described.returncode == 0
    facts = json.loads(described.stdout)
    assert {key: facts[key] for key in ("name", "family", "layers", "max_length")} == {
        "name": NAME,
        "family": "bert",
        "layers": 2,
        "max_length": 64,
    }
    removed = machine.crossrank("models", "rm", "--yes", NAME)
    assert (removed.returncode, removed.stdout.strip()) == (0, f"{NAME}: removed")
    assert machine.open(NAME, offline=True)["error"] == "HubError"


def test_the_list_tells_what_is_here(
    hub: Hub,
    machine: Machine,
    checkpoint: Callable[..., Path],
) -> None:
    """The bundled model is always here, another one once it was pulled; listing asks no hub."""
    known = "cross-encoder/ms-marco-TinyBERT-L2-v2"
    hub.add(known, checkpoint("bert"))

    def here() -> set[str]:
        listed = machine.crossrank("models", "list", "--json")
        assert listed.returncode == 0
        return {model["name"] for model in json.loads(listed.stdout)["models"] if model["here"]}

    assert here() == {BUNDLED}
    assert hub.requests == []
    assert machine.crossrank("models", "pull", known).returncode == 0
    assert here() == {BUNDLED, known}
    assert known in machine.crossrank("models", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "offline", "code", "says"),
    [
        (["pull", "bge-reranker-base"], False, 2, "Did you mean 'BAAI/bge-reranker-base'"),
        (["pull", NAME, "--revision", "nope"], False, 2, "no revision 'nope'"),
        (["info", "./nowhere"], False, 2, "does not exist"),
        (["info", NAME], True, 1, "HF_HUB_OFFLINE"),
        (["rm", "--yes", NAME], False, 2, "is not in the cache"),
        (["rm", "--yes", BUNDLED], False, 2, "cannot be removed"),
        (["pull"], False, 2, "MODEL"),
    ],
)
def test_the_command_line_ends_with_the_right_code(
    arguments: list[str],
    offline: bool,
    code: int,
    says: str,
    machine: Machine,
) -> None:
    """2 for the caller's mistake and 1 for the world's failure, the reason on stderr, never a traceback."""
    done = machine.crossrank("models", *arguments, offline=offline)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
