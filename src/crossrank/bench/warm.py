"""A model's processes: begun cold, kept warm, asked in turn until the medians stand.

It knows processes and repeats; not what a runner does.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossrank.bench.measured import Case, Cold, Opened
from crossrank.bench.options import Options, Purse
from crossrank.bench.process import Worker, WorkerError
from crossrank.bench.shapes import Shape
from crossrank.bench.subjects import Group, Subject
from crossrank.bench.texts import Texts
from crossrank.bench.timing import spread
from crossrank.lifetime import Closes
from crossrank.machine import CACHE_VARIABLE

FIRST, WARMING, TUNING = -1, -2, -3  # turns that are no repeats
TUNE_REPEATS, TUNE_CALLS = 1, 8  # about as many as there are batch sizes, twice
TUNE_DOCUMENTS_MAX = 100  # what is fastest does not change with more


@dataclass(slots=True)
class Warm(Closes):
    """All who run a model, each in a process of its own; all but the one that is asked are stopped."""

    group: Group
    model: str
    scratch: Path
    texts: Texts
    options: Options
    purse: Purse
    say: Callable[[str], None]
    opened: list[Opened] = field(default_factory=list)
    workers: dict[int, Worker] = field(default_factory=dict)  # by the id of what is in `opened`

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.close()

    def open(self, subject: Subject) -> None:
        """Begin it in several new processes, one after the other; the last one stays."""
        opened = Opened(subject)
        self.opened.append(opened)
        begun: list[Cold] = []
        starts = 1 if self.group.remote else self.options.cold_starts
        for start in range(starts):
            self.say(f"{opened.named}, cold start {start + 1} of {starts}")
            if (last := self.workers.pop(id(opened), None)) is not None:
                last.close()
            self.workers[id(opened)] = Worker(self._environ(), self.scratch / f"{len(self.opened)}.log")
            if (cold := self._begun(opened)) is None:
                return
            begun.append(cold)
        opened.cold = Cold.median(begun)
        self._tune(opened)

    def measure(self, count: int, cases: list[Case]) -> None:
        """Add a case of each to `cases`: warm all up, then ask them in turn, in an order that changes."""
        own = [Case(self.group, opened, count, error=opened.error) for opened in self.opened]
        before = {id(case.opened): case for case in cases if case.seconds}
        cases += own
        active = [case for case in own if self._warmed(case, before.get(id(case.opened)))]
        choose, number = random.Random(count), 0  # noqa: S311 - an order  # nosec B311
        while active:
            self.say(f"{count} documents, turn {number + 1}")
            pairs = self.texts.turn(count, number)
            for case in choose.sample(active, len(active)):
                answer = self._ask(case.opened, {"op": "score", "pairs": pairs}, case)
                if answer:
                    case.add(answer)
            active = [case for case in active if not self._enough(case)]
            number += 1

    def _begun(self, opened: Opened) -> Cold | None:
        """Of its newest process; None, and the error noted, where it failed."""
        worker, subject = self.workers[id(opened)], opened.subject
        options = {**subject.options, "model": self.model}
        if self.group.remote:
            options["cost_max_usd"] = self.purse.left_usd if self.group.billed else None
        found = self._ask(opened, {"op": "open", "runner": subject.runner, "options": options})
        pairs = self.texts.turn(min(self.options.documents), FIRST)
        first = found and self._ask(opened, {"op": "score", "pairs": pairs})
        if not first:
            return None
        opened.precision, opened.device, opened.detail = found["precision"], found["device"], found["detail"]
        importing = found["import_seconds"]
        return Cold(worker.answered - worker.born, importing, found["seconds"] - importing, first["seconds"])

    def _tune(self, opened: Opened) -> None:
        """Let a library with a batch size choose the fastest, as its users are told to, if that is not too long."""
        assert opened.cold is not None, "bug: it was begun"
        fewest = min(self.options.documents)
        for count in sorted({min(TUNE_DOCUMENTS_MAX, max(self.options.documents)), fewest}, reverse=True):
            if TUNE_CALLS * opened.cold.answer_s * count / fewest <= self.options.case_s_max and not self.group.remote:
                self.say(f"{opened.named}, tuning")
                asked = {"op": "tune", "pairs": self.texts.turn(count, TUNING), "repeats": TUNE_REPEATS}
                opened.setting = self._ask(opened, asked).get("setting")
                return

    def _warmed(self, case: Case, before: Case | None) -> bool:
        """One call that does not count; none where it is foreseen, by that with fewer documents, to take too long."""
        if case.error:
            return False
        expected = 0.0 if before is None else before.p50_s * case.documents / before.documents
        if expected > self.options.case_s_max:
            case.error = f"a call would take about {expected:.0f} s, more than {self.options.case_s_max:g}"
            return False
        if self.group.remote:
            return True  # the first answer was warm-up enough, and paid for
        self.say(f"{case.opened.named}, {case.documents} documents, warm-up")
        return bool(self._ask(case.opened, {"op": "score", "pairs": self.texts.turn(case.documents, WARMING)}, case))

    def _enough(self, case: Case) -> bool:
        options = self.options
        if case.error or len(case.seconds) >= (options.repeats_api if self.group.remote else options.repeats_max):
            return True
        known = spread(case.seconds)
        return sum(case.seconds) + case.p50_s > options.case_s_max or (
            known is not None and known <= options.spread_max
        )

    def _ask(self, opened: Opened, message: dict[str, Any], case: Case | None = None) -> dict[str, Any]:
        """The answer; empty, and the error noted, where there is none. What cannot go on is not asked again."""
        worker = self.workers.get(id(opened))
        if worker is None:
            return {}
        try:
            answer = worker.ask(message, timeout_s=self.options.timeout_s)
        except WorkerError as exc:
            if case is not None:
                case.error = str(exc)
            if case is None or not worker.alive:
                opened.error = str(exc)
                self.workers.pop(id(opened)).close()
            return {}
        self.purse.spent_usd += answer.get("told", {}).get("cost_usd", 0.0)
        return answer

    def _environ(self) -> dict[str, str]:
        environ = {**os.environ, "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        if isinstance(self.group.place, Shape):
            environ[CACHE_VARIABLE] = str(self.scratch / "cache")  # packed weights that nobody will open again
        return environ
