"""Engines whose logits and waits a test decides."""

import threading
import time
from dataclasses import replace
from pathlib import Path

from crossrank.backends.contract import Batch, Limits, Pending
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.schedule.scheduler import Scheduler
from crossrank.schedule.work import Work
from crossrank.testing import FakeBackend

BOUND_S = 60  # no wait of a test may be longer


class GatedBackend(FakeBackend):
    """A backend that runs a batch when it is told to. A row's logit is its length."""

    def __init__(self) -> None:
        super().__init__(lambda ids: float(len(ids)), Limits(tokens_max=2**20, rows_max=2**20))
        self.reached = threading.Semaphore(0)  # raised by each batch that has come to it
        self.gate = threading.Semaphore(0)  # one batch may go on for each

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
        self.reached.release()
        assert self.gate.acquire(timeout=BOUND_S)
        return super().begin(batch)

    def open(self) -> None:
        """Let everything through from now on."""
        for _ in range(1_000):
            self.gate.release()

    def await_batch(self) -> None:
        """Wait until one more batch has come."""
        assert self.reached.acquire(timeout=BOUND_S)


def schedulers(scorer: Scorer, backend: FakeBackend, **options: object) -> Scheduler:
    return Scheduler(replace(scorer, backend=backend), **options)


def left_waiting(engine: Scheduler, pairs: list[Pair]) -> Work:
    """Work of another thread, which whoever serves the engine next has to serve."""
    work, until = engine.work(pairs), time.monotonic() + BOUND_S
    while engine._server is not None:  # a thread that is at what nobody waits for any more
        assert time.monotonic() < until
        time.sleep(0)
    engine._server = -1
    assert not engine._enter(work)
    engine._server = None
    return work


def fake_scorer(folder: Path, backend: FakeBackend, **options: object) -> Scorer:
    """The engine of a tiny checkpoint, with chosen logits."""
    scorer = open_scorer(OpenConfig(str(folder), cache=None))
    encoder = Encoder(scorer.encoder.tokenizer, scorer.encoder.template, EncodeConfig(64, **options))
    return Scorer(scorer.profile, encoder, backend, None, b"")
