"""Many callers, one engine: what they ask for is served in micro-batches that they share, the longest wait first.

Whoever finds the engine idle serves it, and everybody else meanwhile: a lone caller in its own thread pays for no other
thread, and one that is done leaves the rest to a thread that lives while there is work. Nothing is polled, and nothing
survives into a fork. It knows pairs, outcomes and time; not documents, rankings, or how a pair is scored.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from crossrank.awaiting import settled
from crossrank.engine.encode import Known, together
from crossrank.engine.pair import Pair, Scored
from crossrank.engine.scorer import Begun, Outcome, Scorer
from crossrank.errors import OverloadError, UsageError
from crossrank.forks import in_children
from crossrank.observe import BatchRan, emit, listening
from crossrank.schedule.turn import CHARACTERS_MIN, SERVING_S, next_turn
from crossrank.schedule.work import MicroBatch, Work
from crossrank.threads import begin_thread

T = TypeVar("T")

PRIORITY_S = 10.0  # seconds of waiting that one step of priority is worth: nobody starves
WAITING_MAX = 65_536  # pairs, of all callers together
RETRY_AFTER_MIN_S = 0.1


class Scheduler:
    """Serves callers from any threads and event loops through one open model.

    Args:
        scorer: the model.
        waiting_max: pairs that may wait, of all callers together, before one more caller is sent away.
        clock: seconds, as `time.monotonic`.
    """

    _waiting: list[Work]  # whatever has pairs that no micro-batch took
    _held: list[MicroBatch]  # what is being served, the oldest first
    _freed: float  # when the last of those that were served was done
    _server: int | None  # the thread that serves; 0 for one that is about to

    def __init__(
        self, scorer: Scorer, *, waiting_max: int = WAITING_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.scorer = scorer
        self._waiting_max = waiting_max
        self._clock = clock
        self._characters_a_second: float | None = None
        self._start_anew()
        in_children(self, Scheduler._start_anew)

    @property
    def recalls_at_once(self) -> bool:
        """Whether `work` needs no file and no other machine."""
        return self.scorer.cache is None or not self.scorer.cache.waits

    def work(
        self,
        pairs: Iterable[Pair],
        *,
        known: Known | None = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Work:
        """What is to be done for a call, less what the cache knows; it may read a file or ask a server for that.

        Args:
            pairs: queries with the texts of documents; equal ones are scored once.
            known: texts that were tokenised before.
            deadline: the clock's time after which nothing more is begun.
            priority: higher goes first; a step is worth `PRIORITY_S` seconds of waiting.
        """
        now = self._clock()
        pairs = dict.fromkeys(pairs)
        outcome = Outcome(self.scorer.recall(pairs))
        fresh = [pair for pair in pairs if pair not in outcome.results]
        return Work(fresh, known or {}, deadline, now, PRIORITY_S * priority, outcome)

    def run(self, work: Work) -> Outcome:
        """The work's outcome, waited for; what is not there by its deadline is not in it.

        Raises:
            OverloadError: too much is waiting already.
            NotFiniteError, UsageError: as the scorer says of one of its pairs.
        """
        return self._whole(work, self._run)

    async def arun(self, work: Work) -> Outcome:
        """As `run`, awaitable; cancelling the caller takes the work back."""
        self.start(work)
        return await settled(work.promise, work.deadline, lambda: self._expire(work), self._clock)

    def start(self, work: Work) -> None:
        """Begin the work; its promise gives the outcome.

        Raises:
            OverloadError: too much is waiting already.
        """
        self._whole(work, self._start)

    def _whole(self, work: Work, step: Callable[[Work], T]) -> T:
        """What the step gives; where Ctrl+C or an error ends it, others are served without this thread."""
        if self._server == threading.get_ident():
            raise UsageError(
                "This Reranker was called by a hook or a cache that it was calling itself, and would wait for itself. "
                "Give that a reranker of its own."
            )
        try:
            return step(work)
        except BaseException:
            work.promise.withdraw()
            with self._lock:
                if self._server == threading.get_ident():
                    self._put_back()
                    self._hand_over()
            raise

    def _run(self, work: Work) -> Outcome:
        if self._enter(work):
            self._serve(until=work)
        if work.deadline is not None:
            work.promise.wait(work.deadline - self._clock())
            self._expire(work)
        return work.promise.result()

    def _start(self, work: Work) -> None:
        if self._enter(work):
            with self._lock:
                self._hand_over()

    def _enter(self, work: Work) -> bool:
        """Let it wait; whether the caller has to see to it that the engine is served."""
        with self._lock:
            if not work.pairs or work.unwanted(self._clock()):
                work.end()
                return False
            waiting = sum(len(other.pairs) - other.taken for other in self._waiting)
            if waiting and waiting + len(work.pairs) > self._waiting_max:
                raise OverloadError(
                    f"{waiting} pairs are waiting for the model already, of at most waiting_max={self._waiting_max}. "
                    "Try again later, send less at a time, or serve it with more machines.",
                    retry_after_s=self._seconds_for(self._waiting),
                )
            work.urgency = work.came - work.ahead_s
            self._waiting.append(work)
            if self._server is None:
                self._server = threading.get_ident()
                return True
            for one in self._waiting:
                one.contended = True
            return False

    def _serve(self, *, until: Work | None = None) -> None:
        """Serve what waits, as the only one; a caller leaves when its own work is over."""
        while True:
            with self._lock:
                taken = self._take() if until is None or not until.over else None
                if not self._held:
                    self._hand_over()
                    return
            if taken is not None:
                self._begin(taken)
            # The engine is busy with some micro-batches while the next is tokenised and begun.
            if taken is None or len(self._held) > self.scorer.backend.limits.ahead:
                self._finish(self._held[0])
                with self._lock:
                    del self._held[0]

    def _serve_in_thread(self) -> None:
        with self._lock:
            if self._server != 0:  # whoever started this was interrupted, and started another
                return
            self._server = threading.get_ident()
        try:
            self._serve()
        except BaseException as exc:  # a bug of ours: nobody may wait for ever because of it
            with self._lock:
                self._put_back()
                self._give_up(exc)
            raise

    def _hand_over(self) -> None:
        """Leave the engine to a thread if anything waits, else idle."""
        self._server = None
        if not self._waiting:
            return
        self._server = 0  # the thread will say who it is
        try:
            self._start_thread()
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            self._give_up(exc)
        except BaseException:  # Ctrl+C, and nobody knows whether the thread was started: of two, one serves
            self._start_thread()
            raise

    def _start_thread(self) -> None:
        begin_thread(self._serve_in_thread, "crossrank-engine")

    def _give_up(self, error: BaseException) -> None:
        self._server = None
        for work in self._waiting:
            work.end(error)
        self._waiting = []

    def _take(self) -> MicroBatch | None:
        """The next micro-batch, if anything waits."""
        now = self._clock()
        for work in self._waiting:
            if work.unwanted(now) and not work.under_way:
                work.end()
        self._waiting = [work for work in self._waiting if not work.unwanted(now)]
        if not self._waiting:
            return None
        turn = next_turn(self._waiting, now, self._characters_a_second_each)
        batch = MicroBatch(turn.shares, hurried=turn.hurried)
        self._held.append(batch)
        for share in batch.shares:
            work = share.work
            if work.taken == 0:
                work.outcome.timings["queue"] = max(0.0, now - work.came)
            work.taken, work.urgency = share.stop, now - work.ahead_s
            work.under_way += 1
        self._waiting = [work for work in self._waiting if work.taken < len(work.pairs)]
        return batch

    def _begin(self, batch: MicroBatch) -> None:
        """Start what the model is to be asked."""
        works = [share.work for share in batch.shares]
        batch.started = self._clock()
        try:
            late = [pair for share in batch.shares if share.work.contended for pair in share.pairs]
            batch.recalled = self.scorer.recall(late) if late else {}
            fresh = dict.fromkeys(pair for share in batch.shares for pair in share.pairs if pair not in batch.recalled)
            batch.begun = self.scorer.begin(
                list(fresh),
                together(work.known for work in works),
                stop=lambda: all(work.unwanted(self._clock()) for work in works),
                hurried=batch.hurried,
                aside=len(self._held) > 1 or bool(self._waiting),
            )
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told when the micro-batch is finished
            batch.error = exc

    def _finish(self, batch: MicroBatch) -> None:
        """Give each work what came of its pairs; an error goes to the work that it belongs to, and to no other."""
        try:
            begun, results = self._results(batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever waits must get it
            if len(batch.shares) == 1:
                with self._lock:
                    batch.shares[0].work.end(exc)
                return
            for share in batch.shares:
                alone = MicroBatch([share], hurried=batch.hurried)
                self._begin(alone)
                self._finish(alone)
            return
        now = self._clock()
        self._learn_speed(begun, now - max(batch.started, self._freed))
        self._freed = now
        self._tell(begun, callers=len(batch.shares))
        unowned = set(begun.pairs)  # a pair that two works asked for went through the model for the first
        with self._lock:
            for share in batch.shares:
                outcome = share.work.outcome
                found = [pair for pair in share.pairs if pair in results]
                outcome.results.update((pair, results[pair]) for pair in found)
                outcome.fresh.update(unowned.intersection(found))
                unowned.difference_update(found)
                outcome.timings["tokenize"] += begun.tokenize_s
                outcome.timings["run"] += begun.run_s
                self._leave(share.work)

    def _results(self, batch: MicroBatch) -> tuple[Begun, dict[Pair, Scored]]:
        if batch.error is not None:
            raise batch.error
        assert batch.begun is not None, "bug: neither begun nor an error"
        return batch.begun, {**batch.recalled, **self.scorer.finish(batch.begun)}

    def _leave(self, work: Work) -> None:
        work.under_way -= 1
        if work.under_way == 0 and (work.taken == len(work.pairs) or work.unwanted(self._clock())):
            work.end()

    def _expire(self, work: Work) -> None:
        """End a work whose deadline has passed, unless a micro-batch that is under way is about to."""
        with self._lock:
            if not work.under_way:
                work.end()

    def _put_back(self) -> None:
        """Let everything wait again that was being served."""
        for batch in self._held:
            for share in batch.shares:
                work = share.work
                work.taken, work.under_way = min(work.taken, share.start), 0
                if work.over:
                    work.promise.tell()  # the interruption may have kept it from somebody
                elif work not in self._waiting:
                    self._waiting.append(work)
        self._held = []

    def _learn_speed(self, begun: Begun, seconds: float) -> None:
        size = sum(pair.characters for pair in begun.pairs)
        if size and seconds > 0:
            speed, before = size / seconds, self._characters_a_second
            self._characters_a_second = speed if before is None else 0.7 * before + 0.3 * speed

    def _tell(self, begun: Begun, *, callers: int) -> None:
        if begun.rows and listening():
            emit(
                BatchRan(
                    model=self.scorer.profile.name,
                    rows=len(begun.rows),
                    tokens=sum(len(row.ids) for row in begun.rows),
                    callers=callers,
                    tokenize_s=begun.tokenize_s,
                    run_s=begun.run_s,
                )
            )

    @property
    def _characters_a_second_each(self) -> float:
        """What one replica reads, as far as that is known: of what all read together."""
        replicas = (1 + max(1, self.scorer.backend.limits.ahead)) / 2  # each has two micro-batches
        return (self._characters_a_second or 0.0) / replicas

    def _seconds_for(self, works: Iterable[Work]) -> float:
        """About how long the engine needs for what is left of these works."""
        size = sum(pair.characters for work in works for pair in work.pairs[work.taken :])
        return max(RETRY_AFTER_MIN_S, size / (self._characters_a_second or CHARACTERS_MIN / SERVING_S))

    def _start_anew(self) -> None:
        """With nobody waiting, as at first and in a forked child, where whoever served or waited does not exist."""
        self._lock = threading.Lock()
        self._waiting = []
        self._held = []
        self._freed = -math.inf
        self._server = None
