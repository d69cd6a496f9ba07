"""What the engine and a backend agree on: a batch of packed token ids in, fp32 logits out.

It knows arrays only: no texts, pairs, caches or models' names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import CheckpointError

Logits = NDArray[np.float32]
Pending = Callable[[], Logits]  # waits for what was begun
HURRIED_TOKENS = 512  # what takes a few milliseconds on a CPU


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for the model: token ids int32 [n] and segment ids int32 [n]."""

    ids: NDArray[np.int32]
    segments: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows laid end to end without padding.

    Attributes:
        ids: int32 [tokens].
        segments: int32 [tokens], token type ids.
        offsets: int32 [rows + 1]; row i is ids[offsets[i]:offsets[i + 1]].
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.int32]
    offsets: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Batch":
        """The rows, packed in their order; at least one."""
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum([len(row.ids) for row in rows], out=offsets[1:])
        return cls(np.concatenate([row.ids for row in rows]), np.concatenate([row.segments for row in rows]), offsets)

    def check_ids(self, vocabulary: int) -> None:
        """Raise CheckpointError for a token id that is no row of the embeddings."""
        highest = int(self.ids.max())
        if int(self.ids.min()) < 0 or highest >= vocabulary:
            raise CheckpointError(
                f"The tokenizer and the weights of the model do not belong together: token {highest} of "
                f"{vocabulary}. Download it again."
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one call of `run` may be given; a single row may always be given.

    Attributes:
        tokens_max: in one call.
        rows_max: in one call.
        tokens_hurried: in one call under a deadline that is near.
        ahead: how many more to begin while one is computed; 0 where `begin` comes back with the logits only.
    """

    tokens_max: int
    rows_max: int
    tokens_hurried: int = HURRIED_TOKENS
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """What "auto" was resolved into, for logs and `crossrank doctor`."""

    backend: str
    device: str
    precision: str
    threads: int  # of the CPU; 0 where it does not compute
    detail: str  # native: the instruction set; torch: what computes attention
    precisions: tuple[str, ...] = ()  # what it could run in
    replicas: int = 1  # of the model, which share the work


class Backend(Protocol):
    """A model that is ready to run; safe to call from several threads. It is freed with its last reference.

    A `ReplicaError` from any call means that this one is lost for good.
    """

    @property
    def limits(self) -> Limits:
        """The most that one call takes."""
        ...

    @property
    def facts(self) -> BackendFacts:
        """What it runs on."""
        ...

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """Logits fp32 [rows, labels]; `exact` computes in fp32 whatever the precision."""
        ...

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
        """Start a batch and give what waits for its logits; a device of its own works on while the caller goes on.

        `aside` says that the caller has something to do meanwhile: only then is it worth a thread.
        """
        ...
