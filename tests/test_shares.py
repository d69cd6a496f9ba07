"""A batch is shared out so that all replicas are done at about the same time. Pure, so it is tested alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.backends.shares import shares


def dealt(lengths: list[int], loads: list[int], least: int) -> list[tuple[int, list[int]]]:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return [(replica, list(rows)) for replica, rows in shares(offsets, loads, least)]


def test_idle_replicas_get_equal_shares() -> None:
    """By tokens, not by rows."""
    assert dealt([30, 10, 10, 10], [0, 0], 1) == [(0, [0]), (1, [1, 2, 3])]


def test_a_busy_replica_gets_less() -> None:
    """So much less that both are done together; nothing if the others are done sooner with all of it."""
    assert dealt([10] * 4, [20, 0], 1) == [(1, [0, 1, 2]), (0, [3])]
    assert dealt([10] * 4, [0, 50, 0], 1) == [(0, [0, 1]), (2, [2, 3])]


def test_what_is_small_stays_together() -> None:
    """A share is not worth its way below a size."""
    assert dealt([10] * 4, [0, 0, 0, 0], 20) == [(0, [0, 1]), (1, [2, 3])]
    assert dealt([10] * 4, [5, 0], 512) == [(1, [0, 1, 2, 3])]


@pytest.mark.property
@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=40),
    loads=st.lists(st.integers(0, 5_000), min_size=1, max_size=9),
    least=st.integers(1, 1_000),
)
def test_each_row_goes_to_one_replica(lengths: list[int], loads: list[int], least: int) -> None:
    """In order, no replica twice; nobody who gets any is busier afterwards than a row beyond the common level."""
    found = dealt(lengths, loads, least)
    assert [row for _, rows in found for row in rows] == list(range(len(lengths)))
    assert len({replica for replica, _ in found}) == len(found)
    assert all(rows for _, rows in found)
    after = [loads[replica] + sum(lengths[row] for row in rows) for replica, rows in found]
    level = (sum(lengths) + sum(loads[replica] for replica, _ in found)) / len(found)
    assert max(after) <= level + max(lengths)
