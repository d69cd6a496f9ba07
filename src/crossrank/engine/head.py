"""From logits to scores, as the model's own authors meant them. Pure arithmetic."""

import numpy as np
from numpy.typing import NDArray

from crossrank.checkpoint.reading import Reading, ScoreActivation

Scores = NDArray[np.float32]


def read(logits: NDArray[np.float32], reading: Reading) -> NDArray[np.float32]:
    """One number a row, fp32 [rows], of logits fp32 [rows, labels]: what rows are ranked by.

    score: the only label's logit. odds: that of the second label less that of the first, of which sigmoid makes the
    second's probability. grade: the expected grade, the sum of i times the probability of label i.
    """
    if reading == "score":
        return logits[:, 0]
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and is noticed
        if reading == "odds":
            difference: Scores = (wide[:, 1] - wide[:, 0]).astype(np.float32)
            return difference
        shares = np.exp(wide - wide.max(axis=1, keepdims=True))
        expected: Scores = ((shares / shares.sum(axis=1, keepdims=True)) @ np.arange(wide.shape[1])).astype(np.float32)
    return expected


def aggregated(logits: NDArray[np.float32], best: int) -> float:
    """A document's logit, fp32, of those of its windows, fp32 [windows]: the mean of the `best` highest, or of all."""
    highest = np.sort(logits)[-best:]  # sorted, so that the sum has one order whatever that of the windows
    return float(np.float32(highest.astype(np.float64).mean()))


def activate(logits: NDArray[np.float32], activation: ScoreActivation) -> Scores:
    """Scores fp32, the shape of `logits`; sigmoid in fp64, so that it saturates as late as fp32 can show."""
    if activation == "identity":
        return logits
    with np.errstate(over="ignore"):  # exp(-logit) may overflow to inf, and 1 / inf is the right answer
        scores: Scores = (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    return scores
