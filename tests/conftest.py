"""Shared by all tests: no network but loopback, tiny checkpoints made once, Hypothesis profiles."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from crossrank import Reranker, _native
from crossrank.testing import tiny_checkpoint

# What a shell starts in the background ignores Ctrl-C, and so do its children: those of tests are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "modernbert")
ENGINES = [(isa, precision) for isa in _native.isas() for precision in _native.precisions(isa)]  # all that this CPU has

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # before anything imports haystack
os.environ.setdefault("CROSSRANK_LANGUAGE_GUARD", "off")  # tests give models whatever texts; its own tests wake it

settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile("soak", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> None:
    """Any connection that is not to loopback fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "unix"
        assert host in ("127.0.0.1", "::1", "localhost", "unix"), f"a test tried to reach {host}"
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What was measured of models on this machine decides nothing in a test, and a test leaves nothing behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSRANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a tiny checkpoint of a family; equal arguments give the same folder, which tests must not change."""
    made: dict[str, Path] = {}

    def make(family: str = "bert", **options: object) -> Path:
        key = f"{family}-{sorted(options.items())}"
        if key not in made:
            made[key] = tiny_checkpoint(tmp_path_factory.mktemp(family), family, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def bundled() -> Reranker:
    """The bundled model, caches off."""
    return Reranker(cache=None)
