"""Shared by all tests: no network but loopback, tiny checkpoints made once, Hypothesis profiles."""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from browsing import chromium
from crossrank import Reranker
from crossrank.testing import tiny_checkpoint
from hub import NAME, Hub, Machine
from unmeasured import measure_no_children

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What a shell starts in the background ignores Ctrl-C, and so do its children: those of tests are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
measure_no_children()

# Threads of torch leave the cores to others while they wait: by spinning, tests take minutes on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # before anything imports haystack
os.environ.setdefault("CROSSRANK_LANGUAGE_GUARD", "off")  # tests give models whatever texts; its own tests wake it

# The same examples in every run, so that none stops a change by chance; `make soak` looks for more. No time counts.
UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fast", max_examples=25, derandomize=True, **UNTIMED)
settings.register_profile("soak", max_examples=2_000, derandomize=False, **UNTIMED)
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


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a CrossEncoder of modules, as cross-encoder/ettin-reranker-* are stored, with sentence-transformers."""
    import torch
    from sentence_transformers import CrossEncoder as Reference
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made: dict[str, Path] = {}

    def make(family: str = "modernbert", pooling: str = "cls", activation: Any = torch.nn.GELU, **saved: Any) -> Path:
        key = f"{family} {pooling} {activation} {saved}"
        if key not in made:
            torch.manual_seed(3)
            plain = tiny_checkpoint(tmp_path_factory.mktemp("plain"), family, max_length=192, layers=4)
            body, folder = tmp_path_factory.mktemp("body"), tmp_path_factory.mktemp("chain")
            model = AutoModelForSequenceClassification.from_pretrained(plain)
            model.base_model.save_pretrained(body)
            AutoTokenizer.from_pretrained(plain).save_pretrained(body)
            modules = [
                Transformer(str(body)),
                Pooling(24, pooling),
                Dense(24, 40, bias=False, activation_function=activation()),
                LayerNorm(40),
                Dropout(0.3),
                Dense(40, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
            ]
            torch.nn.init.normal_(modules[3].norm.weight, 1.0, 0.3)
            torch.nn.init.normal_(modules[3].norm.bias, 0.0, 0.3)
            Reference(modules=modules, device="cpu", **saved).save_pretrained(str(folder))
            made[key] = folder
        return made[key]

    return make


@pytest.fixture
def hub(checkpoint: Callable[..., Path], tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model, beside whose files lie a pickle, another format and code."""
    folder = tmp_path / "upload"
    shutil.copytree(checkpoint("bert"), folder)
    (folder / "onnx").mkdir()
    for unwanted in ("pytorch_model.bin", "modeling_custom.py", "onnx/model.onnx", "onnx/config.json", "README.md"):
        (folder / unwanted).write_bytes(b"not for us")
    with Hub() as hub:
        hub.add(NAME, folder)
        yield hub


@pytest.fixture
def machine(hub: Hub, tmp_path: Path) -> Machine:
    """A machine with an empty cache."""
    return Machine(tmp_path / "home", hub.url)
