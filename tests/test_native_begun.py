"""Batches that the engine computes aside: the same bits, one after the other, dropped or forked at any time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrank import _native
from crossrank.backends.native import _config
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import load_weights

ROWS, LENGTH, BOUND_S = 200, 60, 60
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def encoder(checkpoint: Callable[..., Path]) -> _native.Encoder:
    return opened(checkpoint("bert"))


def opened(folder: Path) -> _native.Encoder:
    profile = read_profile(folder, "tiny")
    return _native.Encoder(_config(profile), load_weights(folder, profile))


def batch(seed: int) -> Batch:
    """Some tens of milliseconds of work."""
    ids = np.random.default_rng(seed).integers(5, 60, ROWS * LENGTH, np.int32)
    return ids, np.zeros_like(ids), np.arange(0, ROWS * LENGTH + 1, LENGTH, dtype=np.int32)


def begun(encoder: _native.Encoder, seed: int, after: _native.Begun | None = None) -> _native.Begun:
    return _native.Begun(encoder, *batch(seed), 2, after)


def test_the_same_bits_as_run(encoder: _native.Encoder) -> None:
    """Of every batch in a chain, waited for in any order, and as often as one likes."""
    chain: list[_native.Begun] = []
    for seed in range(4):
        chain.append(begun(encoder, seed, chain[-1] if chain else None))
    for seed in (2, 0, 3, 1, 1):
        np.testing.assert_array_equal(chain[seed].wait(interruptible=True), encoder.run(*batch(seed), 1))


def test_what_is_dropped_holds_up_nobody(encoder: _native.Encoder) -> None:
    """The first of a chain is dropped while it computes, another before it began; the last has its logits."""
    first = begun(encoder, 0)
    second = begun(encoder, 1, first)
    third = begun(encoder, 2, second)
    del second, first
    np.testing.assert_array_equal(third.wait(), encoder.run(*batch(2), 1))


def test_its_arrays_and_its_encoder_live_as_long(checkpoint: Callable[..., Path]) -> None:
    """Whoever began a batch may forget everything but what waits for it."""
    waiting = [_native.Begun(opened(checkpoint("bert")), *batch(seed), 2) for seed in range(3)]
    expected = [opened(checkpoint("bert")).run(*batch(seed), 1) for seed in range(3)]
    for one, logits in zip(waiting, expected, strict=True):
        np.testing.assert_array_equal(one.wait(), logits)


def test_wrong_batches(encoder: _native.Encoder) -> None:
    """They are refused before anything begins."""
    ids, types, offsets = batch(0)
    with pytest.raises(ValueError, match=r"ids\[0\] is -1"):
        _native.Begun(encoder, np.concatenate([[np.int32(-1)], ids[1:]]), types, offsets, 2)
    with pytest.raises(ValueError, match="threads is 0"):
        _native.Begun(encoder, ids, types, offsets, 0)


FORKING = """
import os, sys
sys.path.insert(0, sys.argv[2])
from test_native_begun import batch, begun, opened
from pathlib import Path

encoder = opened(Path(sys.argv[1]))
last = begun(encoder, 1, begun(encoder, 0))
child = os.fork()
if not child:
    own = begun(encoder, 2, last)  # what it follows never ends here
    same = (own.wait() == encoder.run(*batch(2), 1)).all()
    del last
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert (last.wait() == encoder.run(*batch(1), 1)).all()
"""

ENDING = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from test_native_begun import begun, opened
from pathlib import Path

last = begun(opened(Path(sys.argv[1])), 0)
threading.Thread(target=last.wait, daemon=True).start()
kept = begun(opened(Path(sys.argv[1])), 1)
print("the end", flush=True)
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(FORKING, marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")),
        ENDING,
    ],
    ids=["forks", "ends"],
)
def test_processes(script: str, checkpoint: Callable[..., Path]) -> None:
    """A child of fork computes batches of its own; a process ends while some are under way."""
    command = [sys.executable, "-c", script, str(checkpoint("bert")), str(Path(__file__).parent)]
    for _ in range(5):
        subprocess.run(command, check=True, timeout=BOUND_S)
