"""A backend whose logits are chosen."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits, Pending


class FakeBackend:
    """A backend whose logits come from a function of a row's token ids; counts what it was given.

    Args:
        logit: from a row's ids int32 [n] to its logit.
        limits: what it claims to take in one call.
    """

    def __init__(self, logit: Callable[[NDArray[np.int32]], float], limits: Limits | None = None) -> None:
        self.logit = logit
        self.limits = limits or Limits(tokens_max=512, rows_max=64)
        self.facts = BackendFacts("fake", "cpu", "fp32", 1, "fake")
        self.batches: list[Batch] = []
        self.exact_rows = 0

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """The function's value for each row, fp32 [rows, 1]."""
        self.batches.append(batch)
        rows = np.split(batch.ids, batch.offsets[1:-1])
        if exact:
            self.exact_rows += len(rows)
        return np.array([[self.logit(row)] for row in rows], np.float32)

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:  # noqa: ARG002 - computed at once
        """The same, computed at once."""
        logits = self.run(batch)
        return lambda: logits
