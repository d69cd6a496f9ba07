"""How long shapes take on this machine: each measured once on the real engine, with random weights, and kept.

It knows shapes and clocks; not which models have them, nor what anybody needs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from crossrank.checkpoint.shapes import Shape
from crossrank.choice.kept import Kept
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.engine.trial import open_trial
from crossrank.errors import CrossrankError
from crossrank.evaluate.precision import shipped_probes
from crossrank.machine import usable_cores

FEW = 4  # documents that tell how long more would take
RUN_S = 1.0  # a run that would take longer is made with fewer documents
REPEATS = 5
REPEATS_S = 2.0  # after which no further repeat is begun
WEIGHTS_MAX = 450_000_000  # of a shape that is measured; what is larger is estimated from the largest that is not
SHORT = 512  # tokens of query and document that every model reads at once, near enough


@dataclass(frozen=True, slots=True)
class Timing:
    """One query with its documents, tokenising included, as it was measured.

    Attributes:
        seconds: the fastest run: whatever else the machine does can only add to it.
        share: of its cores' time, how much it had in that run; well below 1 where other work had the rest.
        documents: how many it had.
        tokens: of each document.
        runs: how many were timed.
        engine: what computed it, such as "native amx, bf16, 2 threads".
        date: when.
    """

    seconds: float
    share: float
    documents: int
    tokens: int
    runs: int
    engine: str
    date: str


@dataclass(frozen=True, slots=True)
class Untimed:
    """Why there is no timing."""

    because: str


class Timings:
    """What is measured on this machine, once; later calls, in other processes too, only look it up.

    Args:
        config: device, precision and threads.
        kept: where timings stay.
        again: measure all anew.
        opener: makes a scorer of a shape.
        clock: in seconds.
        cpu: seconds of cores that this process had.
    """

    def __init__(
        self,
        config: OpenConfig,
        kept: Kept,
        *,
        again: bool = False,
        opener: Callable[..., Scorer] = open_trial,
        clock: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        # The family's code is ours, so nothing is unverified about how long it takes.
        self._config = replace(config, cache=None, self_test=False, allow_unverified=True)
        self._kept, self._again, self._opener, self._clocks = kept, again, opener, (clock, cpu)
        self._fresh: set[str] = set()

    def of(self, shape: Shape, documents: int, tokens: int, max_length: int) -> Timing | Untimed:
        """How long a query takes with so many documents of so many tokens, or with as many as could be tried.

        Args:
            shape: of the model.
            documents: how many.
            tokens: of each.
            max_length: tokens that the model reads at once; longer documents go in windows.
        """
        if shape.weights > WEIGHTS_MAX:
            return Untimed("too large to be measured in passing")
        length = SHORT if tokens + FEW * 8 <= SHORT else max_length
        wanted = f"{self._config.device} {self._config.precision} {self._config.threads}"
        key = f"{shape} {wanted} {length} {tokens}x{documents}"
        known = None if self._again and key not in self._fresh else _known(self._kept.get(key))
        if known is not None:
            return known
        try:
            scorer = self._opener(shape, self._config, max_length=length)
        except CrossrankError as exc:  # an extra is missing, the processor lacks the precision
            return Untimed(str(exc))
        timing = measured(scorer, documents, tokens, *self._clocks)
        self._kept.put(key, timing)
        self._fresh.add(key)
        return timing


def _known(entry: dict[str, Any] | None) -> Timing | None:
    try:
        return None if entry is None else Timing(**entry)
    except TypeError:  # written by another state of this version
        return None


def measured(
    scorer: Scorer, documents: int, tokens: int, clock: Callable[[], float], cpu: Callable[[], float]
) -> Timing:
    """Timed after a warm-up, with all documents where a run takes a second or less, else with fewer."""
    texts = list(islice(_texts(scorer, tokens), documents))
    run, few = partial(_run, scorer, clock=clock, cpu=cpu), texts[:FEW]
    run(few)  # warm-up
    begun = clock()
    first = min(run(few), run(few))
    each = first[0] / len(few)
    count = documents if each * documents <= RUN_S else max(len(few), int(RUN_S / each))
    runs = [first] if count == len(few) else []
    while len(runs) < REPEATS and (not runs or clock() - begun < REPEATS_S):
        runs.append(run(texts[:count]))
    facts = scorer.backend.facts
    threads = f", {facts.threads} threads" if facts.threads else ""
    where = facts.detail if facts.backend == "native" else facts.device
    engine = f"{facts.backend} {where}, {facts.precision}{threads}"
    date = datetime.now(UTC).date().isoformat()
    seconds, busy = min(runs)
    cores = min(facts.threads, usable_cores()) if facts.threads and facts.device == "cpu" else 0
    share = min(1.0, busy / (seconds * cores)) if cores and seconds else 1.0  # a GPU's time is not the cores'
    return Timing(seconds, share, count, tokens, len(runs), engine, date)


def _run(
    scorer: Scorer, texts: Sequence[str], *, clock: Callable[[], float], cpu: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of one run, and those that cores worked for it."""
    pairs = [Pair("how do I reset my password", text) for text in texts]
    started, idle = clock(), cpu()
    scorer.score(pairs)
    return clock() - started, cpu() - idle


def _texts(scorer: Scorer, tokens: int) -> Iterator[str]:
    """Texts of so many tokens, no two alike, without end: stretches of the shipped passages."""
    words = [word for probe in shipped_probes() for text in probe.texts for word in text.split()]
    number = 0
    while True:
        start = (number * 37) % len(words)
        stretch = f"{number} " + " ".join((words[start:] + words * (1 + tokens // len(words)))[: tokens + 8])
        offsets = scorer.encoder.tokenizer.encode(stretch, add_special_tokens=False).offsets
        yield stretch[: offsets[min(tokens, len(offsets)) - 1][1]]
        number += 1
