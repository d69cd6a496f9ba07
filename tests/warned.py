"""Warnings of ours, told from those of what earlier tests left, which is collected at any time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def warns(match: str) -> Iterator[pytest.WarningsRecorder]:
    """As `pytest.warns`, which would fail where a socket or a coroutine that nobody holds is warned of meanwhile."""
    with pytest.warns(UserWarning, match=match) as told:  # noqa: PT031 - what is tested comes from the caller
        for kind in (ResourceWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        yield told
