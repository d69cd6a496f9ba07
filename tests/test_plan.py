"""Batches are planned by a pure function."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossrank.backends.contract import Batch, Limits, Row
from crossrank.engine.plan import plan, portions
from crossrank.errors import CheckpointError

pytestmark = pytest.mark.property


@example(lengths=[3, 4, 7, 1], tokens_max=7, rows_max=9)  # what fits to the token is together
@given(lengths=st.lists(st.integers(1, 600)), tokens_max=st.integers(1, 1000), rows_max=st.integers(1, 50))
def test_each_row_once_and_within_the_limits(lengths: list[int], tokens_max: int, rows_max: int) -> None:
    """Every row is in exactly one batch, in order; no batch is above the limits except a single row."""
    batches = plan(lengths, Limits(tokens_max, rows_max))
    assert [row for batch in batches for row in batch] == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or (len(batch) <= rows_max and sum(lengths[row] for row in batch) <= tokens_max)
    for left, right in pairwise(batches):
        full = len(left) == rows_max or sum(lengths[row] for row in left) + lengths[right[0]] > tokens_max
        assert full, "a batch was closed although the next row would have fitted"


@example(sizes=[3, 4, 7], size_max=7)
@given(sizes=st.lists(st.integers(0, 900)), size_max=st.integers(1, 1000))
def test_portions_bound_what_is_in_memory(sizes: list[int], size_max: int) -> None:
    """Neighbours stay together up to the size; nothing is left out, zero-sized texts included."""
    parts = portions(sizes, size_max)
    assert [i for part in parts for i in part] == list(range(len(sizes)))
    assert all(len(part) == 1 or sum(sizes[i] for i in part) <= size_max for part in parts)
    assert all(sum(sizes[i] for i in (*left, right[0])) > size_max for left, right in pairwise(parts))


@pytest.mark.parametrize("token", [-1, 10, 99])
def test_a_token_that_has_no_embedding_is_refused(token: int) -> None:
    """It would read beyond a table on a GPU; the message says what to do."""
    rows = [Row(np.array([0, 9], np.int32), np.zeros(2, np.int32))]
    Batch.of(rows).check_ids(10)
    rows.append(Row(np.array([token], np.int32), np.zeros(1, np.int32)))
    with pytest.raises(CheckpointError, match="Download it again"):
        Batch.of(rows).check_ids(10)
