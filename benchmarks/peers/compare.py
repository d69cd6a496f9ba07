"""Peers side by side: every repeat gives all of them the same fresh pairs, in turn, in an order that changes.

It knows workers and what they answer; not how a table looks.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from crossrank.bench.process import Worker, WorkerError
from peers.catalog import AS_IT_COMES, OURS, PEERS
from peers.environments import Environments, UnavailableError
from peers.isa import FORCED
from peers.passages import LONG, TUNING, WARMING, Case, Pair, Passages

TUNING_DOCUMENTS, TUNING_LONG_DOCUMENTS = 100, 32  # what is fastest does not change with more
MANY_DOCUMENTS = 500  # calls so long that a third of the repeats will do, at least 3
PEAK_S_MAX = 120.0
TUNE_REPEATS = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How the comparison is run.

    Attributes:
        batch_sizes: what peers that take a batch size are tuned over.
        token_budgets: what peers that take tokens a batch are tuned over.
        open_s_max: seconds for loading a model, and for the first call of one that compiles.
        call_s_max: seconds for any other call.
    """

    threads: int
    repeats: int
    isa: str | None
    batch_sizes: tuple[int, ...]
    token_budgets: tuple[int, ...]
    open_s_max: float
    call_s_max: float


@dataclass(slots=True)
class Opened:
    """A peer that is ready, or why it is not."""

    peer: str
    detail: str = ""
    precision: str = ""
    load_bytes: int = 0
    error: str = ""


@dataclass(slots=True)
class Measured:
    """A peer on a case.

    Attributes:
        seconds: a repeat each.
        differences: of logits to the fp32 reference, the largest of each repeat.
        taus: Kendall's, of the ranking, of each repeat.
        peak_bytes: the most resident memory of its process, loading included.
        setting: what tuning chose.
    """

    peer: str
    seconds: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    taus: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    setting: str | None = None
    error: str = ""

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All peers on a case; `pairs`, `tokens` and `flops` are those of a call, on average."""

    case: Case
    pairs: int
    tokens: float
    flops: float
    measured: dict[str, Measured]


class Comparison:
    """Workers of the peers, kept warm; `with` ends them all, however it is left."""

    def __init__(self, peers: list[str], environments: Environments, settings: Settings, logs: Path) -> None:
        self._environments, self._settings, self._logs = environments, settings, logs
        self._stack = ExitStack()
        self._workers: dict[str, Worker] = {}
        self.peers = peers
        self.opened: dict[str, Opened] = {}

    def __enter__(self) -> "Comparison":
        """Open all peers, and the reference."""
        try:
            for peer in dict.fromkeys([AS_IT_COMES, *self.peers]):
                self.opened[peer] = self._open(peer)
                _say(f"{peer}: {self.opened[peer].error or self.opened[peer].detail}")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers."""
        self._stack.close()

    @property
    def reference(self) -> str | None:
        """The peer whose logits are those to agree with."""
        return next((peer for peer in (AS_IT_COMES, "crossrank-fp32") if peer in self._workers), None)

    def gemm_peak(self) -> dict[str, float]:
        """Operations a second of the fastest matrix product, by precision; empty where torch is not to be had."""
        try:
            python = self._environments.python("st")
            with Worker(self._environ(), self._logs / "peak.log", python=python) as worker:
                worker.ask(self._opening("peak", {}), timeout_s=PEAK_S_MAX)
                measured = worker.ask({"op": "call", "name": "measure"}, timeout_s=PEAK_S_MAX)
                flops: dict[str, float] = measured["answer"]
                return flops
        except (UnavailableError, WorkerError) as exc:
            _say(f"peak: {exc}")
            return {}

    def run(self, case: Case, passages: Passages) -> Outcome:
        """Tune and warm each peer, then measure all of them in turn."""
        measured = {peer: Measured(peer, error=self.opened[peer].error) for peer in self.peers}
        active = [peer for peer in dict.fromkeys([self.reference, *self.peers]) if peer in self._workers]
        enough = TUNING_LONG_DOCUMENTS if case.name == LONG else TUNING_DOCUMENTS
        tuning = passages.turn(replace(case, documents=min(case.documents, enough)), TUNING)
        repeats = self._settings.repeats
        if case.documents >= MANY_DOCUMENTS:
            repeats = min(repeats, max(3, repeats // 3))
        for peer in active:
            result = measured.setdefault(peer, Measured(peer))
            _say(f"{case}: {peer} tunes and warms up")
            answer = self._ask(
                peer, result, {"op": "tune", "pairs": tuning, "repeats": TUNE_REPEATS}, self._settings.open_s_max
            )
            result.setting = answer.get("setting")
            if answer:
                self._ask(
                    peer, result, {"op": "score", "pairs": passages.turn(case, WARMING)}, self._settings.open_s_max
                )
        lengths: list[list[int]] = []
        for number, order in enumerate(_orders(active, repeats)):
            pairs = passages.turn(case, number)
            lengths.append(passages.lengths(pairs))
            _say(f"{case}: repeat {number + 1} of {repeats}")
            self._repeat(pairs, order, measured)
        for peer, result in measured.items():
            result.peak_bytes = max(result.peak_bytes, self.opened[peer].load_bytes)
        tokens = sum(map(sum, lengths)) / repeats
        flops = sum(_flops(row, self._environments.model) for row in lengths) / repeats
        shown = {peer: measured[peer] for peer in self.peers}
        return Outcome(case, len(lengths[0]), tokens, flops, shown)

    def _repeat(self, pairs: list[Pair], order: list[str], measured: dict[str, Measured]) -> None:
        logits: dict[str, np.ndarray] = {}
        for peer in order:
            result = measured[peer]
            if result.error:
                continue
            answer = self._ask(peer, result, {"op": "score", "pairs": pairs}, self._settings.call_s_max)
            if answer and len(answer["scores"]) != len(pairs):
                result.error = f"gave {len(answer['scores'])} logits for {len(pairs)} pairs"
            elif answer:
                result.seconds.append(answer["seconds"])
                result.peak_bytes = max(result.peak_bytes, answer["peak_bytes"])
                logits[peer] = np.array(answer["scores"])
        if (exact := logits.get(self.reference or "")) is None:
            return
        for peer, given in logits.items():
            measured[peer].differences.append(float(np.abs(given - exact).max()))
            measured[peer].taus.append(float(kendalltau(given, exact).statistic))

    def _ask(self, peer: str, result: Measured, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer; empty, and the error noted, where there is none."""
        worker = self._workers.get(peer)
        if worker is None or result.error:
            return {}
        try:
            return worker.ask(message, timeout_s=timeout_s)
        except WorkerError as exc:
            result.error = str(exc)
            _say(f"{peer}: {exc}")
            if not worker.alive:
                del self._workers[peer]
                self.opened[peer].error = str(exc)
            return {}

    def _open(self, peer: str) -> Opened:
        spec = PEERS[peer]
        try:
            folder = None if spec.export is None else str(self._environments.export(spec.export))
            python = self._environments.python(spec.environment)
            worker = self._stack.enter_context(Worker(self._environ(), self._logs / f"{peer}.log", python=python))
            asked = self._opening(spec.runner, {"folder": folder, **spec.options})
            answer = worker.ask(asked, timeout_s=self._settings.open_s_max)
        except (UnavailableError, WorkerError) as exc:
            return Opened(peer, precision=spec.precision, error=str(exc))
        self._workers[peer] = worker
        return Opened(peer, answer["detail"], answer["precision"], answer["peak_bytes"])

    def _opening(self, runner: str, options: dict[str, Any]) -> dict[str, Any]:
        settings = self._settings
        common = {
            "model": str(self._environments.model),
            "threads": settings.threads,
            "isa": settings.isa,
            "batch_sizes": settings.batch_sizes,
            "token_budgets": settings.token_budgets,
        }
        first = None if settings.isa is None else "runners.tiles:refuse"
        return {"op": "open", "runner": f"runners.{runner}", "options": {**common, **options}, "first": first}

    def _environ(self) -> dict[str, str]:
        threads = str(self._settings.threads)
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), threads)
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "TQDM_DISABLE": "1"}
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CROSSRANK_ISA")}
        runners = {"PYTHONPATH": str(Path(__file__).parent)}
        return {**kept, **counts, **offline, **runners, **FORCED.get(self._settings.isa or "", {})}


def ours_here(isa: str | None) -> list[str]:
    """crossrank in each precision that this processor has."""
    from crossrank import _native

    has = _native.precisions(isa or "auto")
    return [peer for peer, precision in OURS.items() if precision in has]


def _orders(peers: list[str], repeats: int) -> Iterator[list[str]]:
    """An order each repeat: nobody always follows the same neighbour."""
    choose = random.Random(0)
    for _ in range(repeats):
        yield choose.sample(peers, len(peers))


def _flops(lengths: list[int], model: Path) -> float:
    """What a forward pass without padding takes: matrix products of the layers and of attention, pooler and head."""
    config = json.loads((model / "config.json").read_text())
    hidden, layers, wide = (int(config[key]) for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    dense = 4 * hidden * hidden + 2 * hidden * wide
    return sum(2.0 * layers * length * (dense + 2 * length * hidden) + 2 * hidden * hidden for length in lengths)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
