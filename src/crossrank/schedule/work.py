"""What callers wait for: the work of one call, and micro-batches that share several. It knows pairs and promises."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from crossrank.engine.encode import Known
from crossrank.engine.pair import Pair, Scored
from crossrank.engine.scorer import Begun, Outcome
from crossrank.threads import Promise


@dataclass(slots=True, eq=False)
class Work:
    """What one call asks for, and what has come of it.

    Attributes:
        pairs: all different, none known beforehand.
        known: texts that were tokenised before.
        deadline: the clock's time after which nothing more of it is begun.
        came: when it came.
        ahead_s: seconds of waiting that its priority is worth.
        outcome: what is known so far.
        urgency: when it was last served, or came, less `ahead_s`; the smallest is next.
        promise: of the outcome; withdrawing it takes the work back.
        taken: how many of the pairs were taken by a micro-batch.
        under_way: micro-batches that hold some of it.
        contended: whether others are served meanwhile, who may ask for the same pairs.
    """

    pairs: Sequence[Pair]
    known: Known
    deadline: float | None
    came: float
    ahead_s: float
    outcome: Outcome
    urgency: float = 0.0
    promise: Promise[Outcome] = field(default_factory=Promise)
    taken: int = 0
    under_way: int = 0
    contended: bool = False

    @property
    def over(self) -> bool:
        """Whether whoever waits has what came of it."""
        return self.promise.done

    def unwanted(self, now: float) -> bool:
        """Whether nothing more of it need be computed."""
        return self.over or self.promise.withdrawn or (self.deadline is not None and now >= self.deadline)

    def end(self, error: BaseException | None = None) -> None:
        """Tell whoever waits; again, if whoever told them was interrupted."""
        if error is None:
            self.promise.give(self.outcome)
        else:
            self.promise.fail(error)


@dataclass(frozen=True, slots=True)
class Share:
    """The pairs of one work that are in a micro-batch."""

    work: Work
    start: int
    stop: int

    @property
    def pairs(self) -> Sequence[Pair]:
        """Those pairs."""
        return self.work.pairs[self.start : self.stop]


@dataclass(slots=True, eq=False)
class MicroBatch:
    """Shares of several works that go through the model together, and what the backend is at for them.

    Attributes:
        shares: whose pairs it holds.
        hurried: whether a deadline is so near that it must be looked at all the time.
        recalled: what the cache has learnt of the pairs since their work came.
        begun: the other pairs, which the model is asked.
        error: why they could not be begun.
        started: when it was begun.
    """

    shares: list[Share] = field(default_factory=list)
    hurried: bool = False
    recalled: dict[Pair, Scored] = field(default_factory=dict)
    begun: Begun | None = None
    error: Exception | None = None
    started: float = 0.0
