"""What it saves to compute once what all rows of a call begin with: a Qwen3 that is asked, random, on the CPU, fp32.

The shape is not trivial: 8 layers of 512 columns. The two ways take turns, so that a busy machine slows both.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.testing import tiny_checkpoint

DOCUMENTS, REPEATS, SENTENCE = 24, 5, "natural selection is its theme "
SHAPE = {"hidden": 512, "heads": 8, "layers": 8, "max_length": 2048}
QUERY = "who published the origin of species"


def measure() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, target)."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_checkpoint(Path(folder), "qwen3", template="qwen3-reranker", **SHAPE)
        config = OpenConfig(
            folder, template="qwen3-reranker", backend="torch", device="cpu", precision="fp32", cache=None
        )
        scorer = open_scorer(config)
    return [row for times in (4, 16) for row in _compared(scorer, SENTENCE * times)]


def _compared(scorer, text: str) -> list[tuple[str, str, str]]:
    pairs = [Pair(QUERY, f"{chr(97 + i)} {text}") for i in range(DOCUMENTS)]
    rows = [item.rows[0].ids for item in scorer.encoder.encode(pairs, {})]
    begin = next(i for i, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    logits = {}
    for _ in range(REPEATS + 1):
        for shares, taken in seconds.items():
            scorer.backend._shares = shares  # noqa: SLF001 - there is no option: it changes no score
            started = time.perf_counter()
            results = scorer.score(pairs).results
            taken.append(time.perf_counter() - started)
            logits[shares] = np.array([results[pair].logit for pair in pairs])
    once, again = (statistics.median(seconds[shares][1:]) for shares in (True, False))
    assert np.abs(logits[True] - logits[False]).max() <= 1e-4
    tokens = int(np.mean([len(row) for row in rows]))
    what = f"{DOCUMENTS} documents, {tokens} tokens a row of which {begin} are shared: computed once, against for each"
    return [(what, f"{again / once:.2f}x ({once:.2f} s, {again:.2f} s)", "> 1x")]


if __name__ == "__main__":
    for row in measure():
        print(" | ".join(row))
