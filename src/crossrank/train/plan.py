"""Which query of which source comes when: the mix, decided before anything is mined, by the seed alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.errors import UsageError
from crossrank.train.options import SourceConfig
from crossrank.train.sources import rng_of


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A row an example, in the order of training.

    Attributes:
        source: int32 [examples], the source's number.
        query: int32 [examples], the query's place in the source.
        turn: int32 [examples], how often that query came before; another turn gets other negatives.
    """

    source: NDArray[np.int32]
    query: NDArray[np.int32]
    turn: NDArray[np.int32]

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.source)

    def of(self, source: int) -> NDArray[np.int64]:
        """The examples (places in the plan) that a source gives."""
        return np.flatnonzero(self.source == source)


def make_plan(sources: Sequence[SourceConfig], sizes: Sequence[int], examples: int, seed: int) -> Plan:
    """`examples` rows by share, what a small source cannot give taken from the others.

    Args:
        sources: the sources' configs.
        sizes: queries in each.
        examples: rows wanted.
        seed: decides which queries, and the order.

    Raises:
        UsageError: all sources together cannot give that many.
    """
    most = [size * source.repeats_max for source, size in zip(sources, sizes, strict=True)]
    if sum(most) < examples:
        raise UsageError(
            f"The config asks for {examples:,} examples (steps x queries_per_step), but its sources give {sum(most):,} "
            "at most. Raise repeats_max of a source, take fewer steps, or add sources."
        )
    counts = _counts([source.share for source in sources], most, examples)
    table, free = np.zeros((3, examples), np.int32), np.arange(examples)
    for number in sorted(range(len(sources)), key=lambda number: sources[number].until):
        source, size, count = sources[number], sizes[number], counts[number]
        rng = rng_of(seed, "plan", source.title)
        turns = -(-count // size)
        query = np.concatenate([np.zeros(0, int), *(rng.permutation(size) for _ in range(turns))])[:count]
        early = max(int(np.searchsorted(free, source.until * examples)), count)  # at least what it needs
        taken = rng.permutation(early)[:count]
        table[:, free[taken]] = np.full(count, number), query, np.arange(count) // size
        free = np.delete(free, taken)
    return Plan(*table)


def _counts(shares: Sequence[float], most: Sequence[int], examples: int) -> list[int]:
    """Whole numbers by share, none above its most, that sum to `examples`."""
    counts = np.zeros(len(shares), int)
    weights, limits = np.array(shares), np.array(most)
    while (missing := examples - int(counts.sum())) > 0:
        open_ = counts < limits
        wish = np.where(open_, weights, 0.0)
        added = np.floor(missing * wish / wish.sum()).astype(int)
        if not added.any():  # fewer missing than sources: one each to the heaviest
            for place in np.argsort(-wish, kind="stable")[:missing]:
                added[place] += int(open_[place])
        counts = np.minimum(counts + added, limits)
    return [int(count) for count in counts]
