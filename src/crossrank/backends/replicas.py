"""Several replicas of a model behind one interface: each gets its share of a batch, and a lost one is replaced.

Replicas are backends like any other: on GPUs of this process, or in processes of their own. It knows batches and
backends; not what a replica runs on, nor how it is opened.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from crossrank.backends.contract import Backend, Batch, Limits, Logits, Pending
from crossrank.backends.shares import shares
from crossrank.errors import ReplicaError
from crossrank.forks import in_children
from crossrank.threads import Promise, begin_thread

log = logging.getLogger("crossrank")

OPEN_S = 1_800.0  # longer than opening any model takes


@dataclass(slots=True, eq=False, weakref_slot=True)
class Share:
    """Rows of a batch that one replica is at."""

    rows: Batch
    exact: bool
    slot: "Slot"
    backend: Backend
    pending: Pending | None = None
    lost: ReplicaError | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one replica.

    Attributes:
        backend: the replica; None while there is none.
        opening: whether another one is being opened.
        why: what was wrong with the last one.
        begun: what it was given last; a share that nobody waits for any more is gone.
    """

    backend: Backend | None
    opening: bool = False
    why: str = ""
    begun: "list[weakref.ref[Share]]" = field(default_factory=list)  # a WeakSet would swallow Ctrl+C in its callbacks

    @property
    def under_way(self) -> list[Share]:
        """What it is at."""
        return [share for one in self.begun if (share := one()) is not None and not share.done]

    @property
    def load(self) -> int:
        """Tokens that it is at."""
        return sum(len(share.rows.ids) for share in self.under_way)

    def give(self, share: Share) -> None:
        """Note what it is about to be at."""
        self.begun = [*map(weakref.ref, self.under_way), weakref.ref(share)]


class Replicas:
    """A model as often as `backends` has it.

    What a replica was at when it was lost is done again, once, by another; meanwhile it is replaced. A fork opens
    replicas of its own when it needs them.

    Args:
        backends: all with the same model, in the same precision.
        reopen: opens the replica of a number anew; called in a thread.
    """

    def __init__(self, backends: Sequence[Backend], reopen: Callable[[int], Backend]) -> None:
        self._reopen = reopen
        self._slots = [Slot(backend) for backend in backends]
        self._lock = threading.Lock()
        self._changed: Promise[None] = Promise()  # kept, and made anew, whenever a replica was opened or could not be
        of_each = [backend.facts for backend in backends]
        self.facts = replace(
            of_each[0],
            device=",".join(dict.fromkeys(facts.device for facts in of_each)),
            threads=sum(facts.threads for facts in of_each),
            replicas=len(backends),
        )
        self._limits = self._of_all([backend.limits for backend in backends])
        in_children(self, Replicas._start_anew)

    @property
    def limits(self) -> Limits:
        """Of one replica what a call takes; of all what is under way."""
        living = [slot.backend for slot in self._slots]
        if None not in living:
            self._limits = self._of_all([backend.limits for backend in living if backend is not None])
        return self._limits

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """Logits fp32 [rows, labels]."""
        return self._begin(batch, exact=exact, aside=False)()

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
        """Start a batch on all replicas that are not busy for longer than the others, and give what waits for all.

        Raises:
            ReplicaError: none is left, and none can be opened. From what waits: two were lost over the same rows.
        """
        return self._begin(batch, exact=False, aside=aside)

    def _begin(self, batch: Batch, *, exact: bool, aside: bool) -> Pending:
        begun = self._shared_out(batch, exact=exact)
        for share in begun:
            _start(share, aside=aside or len(begun) > 1)

        def wait() -> Logits:
            return np.concatenate([self._finished(share) for share in begun])

        return wait

    def _shared_out(self, batch: Batch, *, exact: bool) -> list[Share]:
        """The batch's rows, in order, to those of the replicas that will be done with them first."""
        until: float | None = None
        while True:
            with self._lock:
                living = [(slot, slot.backend) for slot in self._slots if slot.backend is not None]
                if living:
                    dealt = shares(batch.offsets, [slot.load for slot, _ in living], self._least)
                    begun = [Share(_part(batch, rows), exact, *living[which]) for which, rows in dealt]
                    for share in begun:
                        share.slot.give(share)
                    return begun
                if until is None:  # all are tried again, once
                    until = time.monotonic() + OPEN_S
                    for slot in self._slots:
                        self._replace(slot)
                opening, changed = any(slot.opening for slot in self._slots), self._changed
            if not (opening and changed.wait(until - time.monotonic())):
                raise self._none_left()

    def _finished(self, share: Share) -> Logits:
        """The logits of a share; where its replica is lost, of another one's."""
        try:
            return _waited(share)
        except ReplicaError as first:
            self._lose(share, first)
            again = self._shared_out(share.rows, exact=share.exact)
            try:
                for part in again:
                    _start(part, aside=len(again) > 1)
                return np.concatenate([_waited(part) for part in again])
            except ReplicaError as second:
                for part in again:
                    if part.lost is not None:
                        self._lose(part, part.lost)
                raise ReplicaError(
                    f"{second}, over what was done again because {first}. It is not tried a third time: if memory is "
                    "short, give fewer replicas or a smaller batch_tokens."
                ) from second

    def _none_left(self) -> ReplicaError:
        whys = "; ".join(dict.fromkeys(slot.why for slot in self._slots if slot.why))
        return ReplicaError(f"No replica of the model is left, and none can be opened: {whys}. Open the model again.")

    def _lose(self, share: Share, error: ReplicaError) -> None:
        """Have the replica of a share replaced, unless it was already."""
        with self._lock:
            slot = share.slot
            if slot.backend is share.backend:
                log.warning("%s; it is replaced, and what it was at is done again", error)
                slot.why = str(error)
                self._replace(slot)
                slot.backend = None  # last: after Ctrl+C in between, it is found to be lost once more

    def _replace(self, slot: Slot) -> None:
        """Open another replica in its place, in a thread. The lock is held."""
        if slot.opening:
            return
        slot.opening = True
        try:
            begin_thread(partial(self._open, slot), "crossrank-replica")
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            slot.opening, slot.why = False, str(exc)
        except BaseException:  # Ctrl+C, and nobody knows whether the thread was started: the last one's replica stays
            slot.opening = False
            raise

    def _open(self, slot: Slot) -> None:
        backend, why = None, ""
        try:
            backend = self._reopen(self._slots.index(slot))
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever waits for a replica must hear of it
            why = str(exc)
            log.error("a replica cannot be replaced: %s", why)  # noqa: TRY400 - it says all
        with self._lock:
            slot.backend, slot.why, slot.opening = backend, why, False
            changed, self._changed = self._changed, Promise()
        changed.give(None)

    @property
    def _least(self) -> int:
        """Tokens that are worth sending somewhere: what takes some milliseconds."""
        return self._limits.tokens_hurried // len(self._slots)

    def _of_all(self, limits: Sequence[Limits]) -> Limits:
        return Limits(
            tokens_max=min(one.tokens_max for one in limits),
            rows_max=min(one.rows_max for one in limits),
            tokens_hurried=len(limits) * min(one.tokens_hurried for one in limits),
            ahead=sum(1 + one.ahead for one in limits) - 1,
        )

    def _start_anew(self) -> None:
        """Without replicas, as in a forked child, where they are the parent's."""
        self._lock, self._changed = threading.Lock(), Promise()
        for slot in self._slots:
            slot.backend, slot.opening, slot.begun = None, False, []


def _start(share: Share, *, aside: bool) -> None:
    """Begin a share; that its replica is lost is told to whoever waits for it."""
    try:
        if share.exact:
            logits = share.backend.run(share.rows, exact=True)
            share.pending = lambda: logits
        else:
            share.pending = share.backend.begin(share.rows, aside=aside)
    except ReplicaError as exc:
        share.lost = exc


def _waited(share: Share) -> Logits:
    """The logits of a share that was begun."""
    try:
        if share.lost is not None:
            raise share.lost
        assert share.pending is not None, "bug: a share that was not begun"
        return share.pending()
    except ReplicaError as exc:
        share.lost = exc
        raise
    finally:
        share.done = True


def _part(batch: Batch, rows: range) -> Batch:
    """Some of the rows; views where it can be."""
    if len(rows) == len(batch.offsets) - 1:
        return batch
    offsets = batch.offsets[rows.start : rows.stop + 1]
    first, last = offsets[0], offsets[-1]
    return Batch(batch.ids[first:last], batch.segments[first:last], offsets - first)
