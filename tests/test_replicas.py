"""Several replicas behind one interface: each does its share, a lost one is replaced, its work done again once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossrank import Reranker
from crossrank.backends.contract import Backend, Batch, Limits, Logits, Pending, Row
from crossrank.backends.replicas import Replicas
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.errors import CheckpointError, ReplicaError, UsageError
from crossrank.schedule.scheduler import Scheduler
from crossrank.schedule.turn import CHARACTERS_MIN
from crossrank.testing import FakeBackend

BOUND_S = 60  # no wait of a test may be longer
LIMITS = Limits(tokens_max=2**20, rows_max=2**20, tokens_hurried=2, ahead=1)
LONG = "fox " * (CHARACTERS_MIN // 8)


class Device(FakeBackend):
    """A backend that can be lost. A row's logit is the sum of its ids."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda ids: float(ids.sum()), LIMITS)
        self.name = name
        self.begins: list[bool] = []  # whether each of the next batches, then all, is begun before this is lost

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
        logits = self.run(batch)
        if self.begins.pop(0) if self.begins else True:
            return lambda: logits
        if batch.ids[0] % 2:  # at once, or when it is waited for
            raise ReplicaError(f"{self.name} fell over")

        def wait() -> Logits:
            raise ReplicaError(f"{self.name} fell over")

        return wait


class Machine:
    """Devices, and what is opened in their place."""

    def __init__(self, count: int) -> None:
        self.devices = [Device(f"device {i}") for i in range(count)]
        self.opened: list[int] = []
        self.refuses = False
        self.reopened = threading.Semaphore(0)
        self.gate = threading.Event()  # nothing is opened while it is clear
        self.gate.set()
        self.replicas = Replicas(self.devices, self._reopen)

    def _reopen(self, number: int) -> Backend:
        assert self.gate.wait(BOUND_S)
        self.opened.append(number)
        self.reopened.release()
        if self.refuses:
            raise RuntimeError("it stays down")
        self.devices[number] = Device(f"device {number} again")
        return self.devices[number]

    def await_reopened(self) -> None:
        assert self.reopened.acquire(timeout=BOUND_S)
        while (changed := self.replicas._changed) and any(slot.opening for slot in self.replicas._slots):
            assert changed.wait(BOUND_S)


def batch_of(*lengths: int, first: int = 1) -> Batch:
    return Batch.of([Row(np.full(n, first + i, np.int32), np.zeros(n, np.int32)) for i, n in enumerate(lengths)])


def sums(batch: Batch) -> list[list[float]]:
    return [[float(row.sum())] for row in np.split(batch.ids, batch.offsets[1:-1])]


def rows(device: FakeBackend) -> list[int]:
    return [len(batch.offsets) - 1 for batch in device.batches]


@pytest.fixture(scope="module")
def scorer(checkpoint: Callable[..., Path]) -> Scorer:
    return open_scorer(OpenConfig(str(checkpoint("bert")), long_documents="truncate", cache=None))


def test_a_batch_is_shared_out_and_put_together_in_order() -> None:
    """Each row's logits are its own, whichever replica it went to."""
    machine = Machine(3)
    batch = batch_of(*[4] * 9)
    np.testing.assert_array_equal(machine.replicas.run(batch), sums(batch))
    assert [rows(device) for device in machine.devices] == [[3], [3], [3]]


def test_the_next_goes_to_whoever_has_the_least_to_do() -> None:
    """What is begun and not waited for yet counts; what nobody waits for any more does not."""
    machine = Machine(2)
    first = machine.replicas.begin(batch_of(1))  # too small to be shared
    second = machine.replicas.begin(batch_of(1))
    assert [rows(device) for device in machine.devices] == [[1], [1]]
    second()
    machine.replicas.begin(batch_of(1))
    assert [rows(device) for device in machine.devices] == [[1], [1, 1]]
    machine.replicas.begin(batch_of(1))
    assert [rows(device) for device in machine.devices] == [[1], [1, 1, 1]]
    first()


def test_limits_and_facts_are_those_of_all() -> None:
    """As many micro-batches are under way as keep all of them busy."""
    machine = Machine(3)
    assert machine.replicas.limits == Limits(2**20, 2**20, tokens_hurried=6, ahead=5)
    machine.devices[1].limits = replace(LIMITS, tokens_max=100)  # as where a GPU's memory turned out to be short
    assert machine.replicas.limits.tokens_max == 100
    facts = machine.replicas.facts
    assert (facts.replicas, facts.threads, facts.device) == (3, 3, "cpu")


@pytest.mark.parametrize("first", [1, 2])  # lost at once, or while it computes
def test_a_lost_replica_is_replaced_and_its_rows_done_again(first: int, caplog: pytest.LogCaptureFixture) -> None:
    """By another one, and only they; the answer is complete."""
    machine = Machine(2)
    lost, other = machine.devices
    lost.begins = [False]
    machine.gate.clear()
    batch = batch_of(3, 3, 3, 3, first=first)
    np.testing.assert_array_equal(machine.replicas.begin(batch)(), sums(batch))
    assert (rows(lost), rows(other)) == ([2], [2, 2])
    assert "device 0 fell over; it is replaced" in caplog.text
    machine.gate.set()
    machine.await_reopened()
    np.testing.assert_array_equal(machine.replicas.run(batch), sums(batch))
    assert (rows(lost), rows(machine.devices[0])) == ([2], [2])
    assert machine.opened == [0]


def test_a_second_loss_over_the_same_rows_is_an_error_that_names_both() -> None:
    """Whoever asks next is served by those who took their places."""
    machine = Machine(2)
    machine.gate.clear()
    machine.devices[0].begins, machine.devices[1].begins = [False], [True, False]
    batch = batch_of(3, 3, 3, 3)
    with pytest.raises(ReplicaError, match=r"device 1 fell over, over what was .* because device 0 fell over.*third"):
        machine.replicas.run(batch)
    machine.gate.set()
    machine.await_reopened()
    machine.await_reopened()
    np.testing.assert_array_equal(machine.replicas.run(batch), sums(batch))


def test_where_none_is_left_one_is_waited_for() -> None:
    """Or it is an error that says why there is none, and the next call tries again."""
    machine = Machine(1)
    batch = batch_of(3, 3)
    machine.devices[0].begins = [False]
    np.testing.assert_array_equal(machine.replicas.run(batch), sums(batch))
    machine.refuses, machine.devices[0].begins = True, [False]
    for _ in range(2):
        with pytest.raises(ReplicaError, match=r"No replica of the model is left.*it stays down"):
            machine.replicas.run(batch)
    machine.refuses = False
    np.testing.assert_array_equal(machine.replicas.run(batch), sums(batch))


def test_an_error_that_is_no_loss_is_told_as_it_is() -> None:
    """Nothing is replaced, nothing is done again."""

    class Mismatched(Device):
        def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
            raise CheckpointError("they do not belong together")

    replicas = Replicas([Mismatched("a"), Mismatched("b")], lambda _: pytest.fail("replaced"))
    with pytest.raises(CheckpointError, match="do not belong"):
        replicas.run(batch_of(3, 3))


def test_fp32_is_asked_of_replicas_too() -> None:
    """`exact` reaches each of them."""
    machine = Machine(2)
    batch = batch_of(3, 3)
    np.testing.assert_array_equal(machine.replicas.run(batch, exact=True), sums(batch))
    assert [device.exact_rows for device in machine.devices] == [1, 1]


def test_the_scheduler_keeps_all_replicas_busy(scorer: Scorer) -> None:
    """A micro-batch for each is begun, and one more for each behind it, before the first is waited for."""
    machine, happened = Machine(2), []

    class Told(FakeBackend):
        def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
            pending = machine.replicas.begin(batch)
            happened.append("begin")

            def wait() -> Logits:
                happened.append("wait")
                return pending()

            return wait

    backend = Told(lambda ids: 0.0, machine.replicas.limits)
    engine = Scheduler(replace(scorer, backend=backend), clock=lambda: 0.0)  # a speed that is never known
    outcome = engine.run(engine.work(Pair("query", f"{i} {LONG}") for i in range(6)))
    assert len(outcome.results) == 6
    assert happened == ["begin"] * 4 + ["wait", "begin"] * 2 + ["wait"] * 4


def test_a_micro_batch_is_what_one_replica_does_in_its_time(scorer: Scorer) -> None:
    """However many there are, so that nobody waits longer for their next turn."""
    for count, share in ((1, 1), (2, 2), (4, 4)):
        engine = Scheduler(replace(scorer, backend=Machine(count).replicas))
        engine._characters_a_second = 800_000.0  # of all together
        assert engine._characters_a_second_each == 800_000.0 / share


def test_many_callers_while_replicas_are_lost(scorer: Scorer) -> None:
    """Each gets what a single model says of its pairs, bit by bit."""
    machine = Machine(3)
    engine = Scheduler(replace(scorer, backend=machine.replicas))
    alone = Scheduler(replace(scorer, backend=Device("alone")))
    calls = [[Pair(f"query {i}", f"{LONG[: 40 * j]} document {j}") for j in range(i % 7 + 1)] for i in range(40)]

    wide = [Pair("wide", f"document {i}") for i in range(30)]  # of one length: idle replicas all get some of it
    losing = threading.Lock()

    def lose(device: Device) -> None:
        """One after the other: what two are lost over is an error, which the test above is about."""
        device.begins = [False]
        stop = time.monotonic() + BOUND_S
        while device.begins:
            assert time.monotonic() < stop
            engine.run(engine.work(wide))
        machine.await_reopened()
        engine.run(engine.work(wide))  # served after all that was begun with the one that was lost

    def ask(number: int) -> bool:
        if number % 8 == 0:
            with losing:
                lose(machine.devices[number % 3])
        got = engine.run(engine.work(calls[number])).results
        return got == alone.run(alone.work(calls[number])).results

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(len(calls)), timeout=BOUND_S))
    assert sorted(machine.opened) == [0, 0, 1, 2, 2]


@pytest.fixture(scope="module")
def two_nets(checkpoint: Callable[..., Path]) -> tuple[Scorer, Scorer]:
    """The model on torch, once and twice."""
    pytest.importorskip("torch")
    options = {"backend": "torch", "device": "cpu", "long_documents": "truncate", "cache": None}
    one, other = (open_scorer(OpenConfig(str(checkpoint("bert")), **options)) for _ in range(2))
    return one, replace(one, backend=Replicas([one.backend, other.backend], lambda _: other.backend))


def test_torch_devices_share_a_batch(two_nets: tuple[Scorer, Scorer]) -> None:
    """Two of a kind stand in for two GPUs: the same logits to rounding."""
    one, both = two_nets
    pairs = [Pair("fox", f"the quick brown fox {i} " * (i % 9 + 1)) for i in range(200)]
    wanted, got = (scorer.score(pairs).results for scorer in (one, both))
    np.testing.assert_allclose(
        [got[pair].logit for pair in pairs], [wanted[pair].logit for pair in pairs], atol=1e-5, rtol=0
    )


def test_a_gpu_that_fails_is_a_lost_replica() -> None:
    """What CUDA says of it is told; memory that is short is no such failure, nor is a mistake."""
    torch = pytest.importorskip("torch")
    from crossrank.backends.device import common_precision, place_for

    place = place_for("cpu", "fp32")
    said = "cpu failed, and is lost to this process: CUDA error: an illegal memory access was encountered$"
    with pytest.raises(ReplicaError, match=said), place.current():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more")
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("shapes do not match")):
        with pytest.raises(type(error), match=str(error)), place.current():
            raise error
    assert common_precision(["cpu", "cpu"]) == "fp32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": "cuda:0"}, "devices must be a list of names, not one str"),
        ({"devices": []}, r"devices=\[\] cannot be taken"),
        ({"devices": ["cuda:0", "cuda:0"]}, "each once"),
        ({"devices": ["cuda:0", "cpu"]}, "several GPUs of CUDA"),
        ({"devices": ["gpu"]}, "cannot be taken"),
        ({"devices": ["cuda:0", 1]}, "cannot be taken"),
        ({"devices": ["cuda:0"], "device": "cuda"}, "leave out device="),
        ({"devices": ["cuda:0"], "replicas": 2}, "leave out device= and replicas="),
        ({"devices": ["cuda:0", "cuda:1"], "backend": "native"}, "backend='native' runs on the CPU"),
        ({"replicas": 0}, "replicas=0 is too small; allowed: 1 to 1024"),
        ({"replicas": 10**6}, "replicas=1000000 is too large"),
        ({"replicas": "two"}, "replicas must be a whole number, not 'two'"),
        ({"replicas": True}, "replicas must be a whole number"),
        ({"replicas": 1024}, r"replicas=1024: this process may use \d+ cores"),
        ({"replicas": 2, "device": "mps"}, "on device='mps' there is one model"),
    ],
)
def test_options_that_cannot_be_taken(options: dict[str, object], message: str) -> None:
    """Each says what is allowed, before anything is opened."""
    with pytest.raises((UsageError, TypeError), match=message):
        Reranker(**options)


def test_one_device_and_one_replica_are_what_they_are_without(checkpoint: Callable[..., Path]) -> None:
    """No process and no sharing out."""
    folder = str(checkpoint("bert"))
    for options in ({"devices": ["cpu"]}, {"replicas": 1}):
        with Reranker(folder, **options) as reranker:
            assert not isinstance(reranker._engine.scorer.backend, Replicas)
            assert reranker.facts.replicas == 1
