"""How far an exported model's logits are from those of the model it was made from, on pairs that come with crossrank.

It knows scorers; not files or exporters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.errors import CrossrankError, NotFiniteError
from crossrank.evaluate.precision import shipped_probes

DIFFERENCE_MAX = 1e-3  # of a logit; fp32 in another order of sums stays far below
PASSAGES = 4  # of each probe
LONG_CHARACTERS = 4_000  # more than most models read


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of logits.

    Attributes:
        pairs: how many were compared.
        largest: of all differences; NaN where a logit was not finite.
        mean: of them.
        spread: standard deviation of the logits themselves, to judge a difference by.
    """

    pairs: int
    largest: float
    mean: float
    spread: float

    @property
    def holds(self) -> bool:
        """Whether the exported model may be used in place of the other."""
        return self.largest <= DIFFERENCE_MAX


def parity(reference: Scorer, exported: Scorer) -> Parity:
    """Compare two open models."""
    pairs = probe_pairs()
    expected = _logits(reference, pairs)
    try:
        found = _logits(exported, pairs)
    except NotFiniteError:
        found = np.full_like(expected, np.nan)
    differences = np.abs(found - expected)
    return Parity(len(pairs), float(differences.max()), float(differences.mean()), float(expected.std()))


def refuse_unlike(name: str, measured: Parity) -> None:
    """Raise unless parity holds."""
    if not measured.holds:
        raise CrossrankError(
            f"The exported model does not give the scores of {name!r}: logits differ by up to {measured.largest:.2g} "
            f"over {measured.pairs} pairs, allowed is {DIFFERENCE_MAX:g}. Nothing was written. "
            "Try another --opset, or another version of torch."
        )


def probe_pairs() -> list[Pair]:
    """Pairs of many lengths: short passages, none at all, and one that fills the model."""
    probes = shipped_probes()
    pairs = [Pair(probe.query, text) for probe in probes for text in probe.texts[:PASSAGES]]
    long = " ".join(text for probe in probes for text in probe.texts)[:LONG_CHARACTERS]
    return [*pairs, Pair(probes[0].query, ""), Pair(probes[0].query, long)]


def _logits(scorer: Scorer, pairs: list[Pair]) -> NDArray[np.float64]:
    results = scorer.score(pairs).results
    return np.array([results[pair].logit for pair in pairs], np.float64)
