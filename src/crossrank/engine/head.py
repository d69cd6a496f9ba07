"""From logits to scores, as the model's own authors meant them. Pure arithmetic."""

import numpy as np
from numpy.typing import NDArray

from crossrank.checkpoint.profile import ScoreActivation

Scores = NDArray[np.float32]


def activate(logits: NDArray[np.float32], activation: ScoreActivation) -> Scores:
    """Scores fp32, the shape of `logits`; sigmoid in fp64, so that it saturates as late as fp32 can show."""
    if activation == "identity":
        return logits
    with np.errstate(over="ignore"):  # exp(-logit) may overflow to inf, and 1 / inf is the right answer
        scores: Scores = (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    return scores
