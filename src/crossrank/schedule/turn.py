"""Whose turn it is: what the next micro-batch takes of all that waits. Pure: it changes nothing, and reads no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crossrank.engine.pair import Pair
from crossrank.engine.scorer import PORTION_CHARACTERS
from crossrank.schedule.work import Share, Work

SERVING_S = 0.1  # what a micro-batch should take while several wait: so long each waits for their next turn, or less
ALONE_S = 0.3  # the same while only one does: larger ones are a little faster, and somebody new waits so long at most
CHARACTERS_MIN = 16_000  # of a micro-batch, about 4k tokens; also while the engine's speed is not known yet


@dataclass(frozen=True, slots=True)
class Turn:
    """What the next micro-batch holds.

    Attributes:
        shares: whose pairs, the longest wait first.
        hurried: whether a deadline is so near that it must be looked at all the time.
    """

    shares: list[Share]
    hurried: bool


def next_turn(waiting: Sequence[Work], now: float, characters_a_second: float) -> Turn:
    """Of the works that waited longest as many pairs as take about `SERVING_S`; of somebody at least one.

    Args:
        waiting: works with pairs that no micro-batch took; at least one.
        now: the clock's time.
        characters_a_second: what the engine reads; 0 while that is not known.
    """
    nearest = min((work.deadline for work in waiting if work.deadline is not None), default=math.inf)
    hurried = nearest < now + 2 * SERVING_S
    seconds = SERVING_S if len(waiting) > 1 else ALONE_S
    room = CHARACTERS_MIN if hurried else _clamped(int(characters_a_second * seconds))
    held: set[Pair] = set()
    shares: list[Share] = []
    for work in sorted(waiting, key=lambda work: work.urgency):
        stop = work.taken
        for pair in work.pairs[stop:]:
            size = 0 if pair in held else pair.characters
            if held and size > room:
                break
            held.add(pair)
            room -= size
            stop += 1
        if stop == work.taken:
            break
        shares.append(Share(work, work.taken, stop))
    return Turn(shares, hurried)


def _clamped(characters: int) -> int:
    return min(max(characters, CHARACTERS_MIN), PORTION_CHARACTERS)
