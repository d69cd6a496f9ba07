"""Whose turn it is: laws of what a micro-batch takes, for whatever waits."""

from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.engine.pair import Pair
from crossrank.engine.scorer import PORTION_CHARACTERS, Outcome
from crossrank.schedule.turn import ALONE_S, CHARACTERS_MIN, SERVING_S, Turn, next_turn
from crossrank.schedule.work import Work

NOW = 1_000.0
SPEEDS = st.sampled_from([0.0, 1e4, 3e5, 1e9])


def work_of(
    sizes: list[int], *, name: str, taken: int = 0, urgency: float = 0.0, deadline: float | None = None
) -> Work:
    """Work on documents of so many characters."""
    pairs = [Pair("", f"{name}{number}".ljust(size, ".")) for number, size in enumerate(sizes)]
    return Work(pairs, {}, deadline, urgency, 0.0, Outcome({}), urgency=urgency, taken=taken)


@st.composite
def waiting(draw: st.DrawFn) -> list[Work]:
    """One to five works, each with something left."""
    works = []
    for number in range(draw(st.integers(1, 5))):
        sizes = draw(st.lists(st.sampled_from([8, 100, 5_000, 20_000]), min_size=1, max_size=8))
        name = draw(st.sampled_from([f"{number}-", "shared-"]))
        deadline = draw(st.sampled_from([None, None, NOW + SERVING_S, NOW + 60]))
        taken, urgency = draw(st.integers(0, len(sizes) - 1)), draw(st.integers(0, 3))
        works.append(work_of(sizes, name=name, taken=taken, urgency=urgency, deadline=deadline))
    return works


def characters(turn: Turn) -> int:
    return sum(pair.characters for pair in {pair for share in turn.shares for pair in share.pairs})


@pytest.mark.property
@given(works=waiting(), speed=SPEEDS)
def test_who_waited_longest_is_served(works: list[Work], speed: float) -> None:
    """The shares are those of the longest wait, in that order, each going on where its work stopped; nobody twice."""
    turn = next_turn(works, NOW, speed)
    longest_first = sorted(works, key=lambda work: work.urgency)
    assert [id(share.work) for share in turn.shares] == [id(work) for work in longest_first[: len(turn.shares)]]
    assert turn.shares, "somebody is always served, however large their next pair is"
    assert all(share.work.taken == share.start < share.stop <= len(share.work.pairs) for share in turn.shares)


@pytest.mark.property
@given(works=waiting(), speed=SPEEDS)
def test_no_more_than_fits(works: list[Work], speed: float) -> None:
    """Different pairs, together no longer than there is time for, but for a single one."""
    turn = next_turn(works, NOW, speed)
    seconds = SERVING_S if len(works) > 1 else ALONE_S
    room = min(max(int(speed * seconds), CHARACTERS_MIN), PORTION_CHARACTERS)
    different = {pair for share in turn.shares for pair in share.pairs}
    assert characters(turn) <= (CHARACTERS_MIN if turn.hurried else room) or len(different) == 1


@pytest.mark.property
@given(works=waiting(), speed=SPEEDS)
def test_all_that_fits(works: list[Work], speed: float) -> None:
    """What is left out of the first work that has to wait would not have fitted any more."""
    turn = next_turn(works, NOW, speed)
    waits = next((share for share in turn.shares if share.stop < len(share.work.pairs)), None)
    if waits is not None:
        before = turn.shares[: turn.shares.index(waits) + 1]
        used = characters(Turn(before, hurried=turn.hurried))
        seconds = SERVING_S if len(works) > 1 else ALONE_S
        room = min(max(int(speed * seconds), CHARACTERS_MIN), PORTION_CHARACTERS)
        assert used + waits.work.pairs[waits.stop].characters > (CHARACTERS_MIN if turn.hurried else room)


@pytest.mark.property
@given(works=waiting(), speed=SPEEDS)
def test_it_is_pure(works: list[Work], speed: float) -> None:
    """Nothing is changed, and equal questions have equal answers."""
    before = [copy(work) for work in works]
    turn = next_turn(works, NOW, speed)
    assert next_turn(works, NOW, speed) == turn
    for work, was in zip(works, before, strict=True):
        assert all(getattr(work, name) is getattr(was, name) for name in Work.__slots__)


def test_equal_pairs_take_no_room() -> None:
    """Two callers with the same long documents fit into one micro-batch; with different ones they do not."""
    sizes = [CHARACTERS_MIN // 2] * 2
    same = [work_of(sizes, name="shared-", urgency=number) for number in range(2)]
    other = [work_of(sizes, name=f"{number}-", urgency=number) for number in range(2)]
    assert len(next_turn(same, NOW, 0.0).shares) == 2
    assert len(next_turn(other, NOW, 0.0).shares) == 1


@pytest.mark.parametrize(("left_s", "hurried"), [(None, False), (60.0, False), (SERVING_S, True), (-1.0, True)])
def test_a_near_deadline_makes_it_small(left_s: float | None, hurried: bool) -> None:
    """So that the engine is free again when it comes, however fast it is."""
    works = [work_of([1_000] * 500, name="w", deadline=None if left_s is None else NOW + left_s)]
    turn = next_turn(works, NOW, 1e9)
    assert turn.hurried is hurried
    assert characters(turn) == (CHARACTERS_MIN if hurried else PORTION_CHARACTERS)
