"""One query and 100 real passages, tokenising included: crossrank beside sentence-transformers, both fp32, in turn."""

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from crossrank import Reranker
from crossrank.checkpoint.source import bundled_folder
from crossrank.collection import read_collection
from crossrank.machine import usable_cores

REPEATS = 9
DOCUMENTS = 100
QUERY = "how long is life cycle of flea"


def measure(data: Path) -> list[tuple[str, str, str]]:
    """Rows of (what, median, ratio to crossrank)."""
    import torch
    from sentence_transformers import CrossEncoder

    passages = list(read_collection(data / "trec_dl19").corpus.values())
    threads = usable_cores()
    torch.set_num_threads(threads)
    reranker = Reranker(precision="fp32", cache=None)
    reference = CrossEncoder(str(bundled_folder()), device="cpu", model_kwargs={"dtype": torch.float32})
    runs: dict[str, Callable[[list[str]], object]] = {
        "crossrank fp32": lambda texts: reranker.score([(QUERY, text) for text in texts]),
        "sentence-transformers fp32, as it comes": lambda texts: reference.predict([(QUERY, text) for text in texts]),
        "sentence-transformers fp32, batch size 8": lambda texts: reference.predict(
            [(QUERY, text) for text in texts], batch_size=8
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    choose = random.Random(0)
    for repeat in range(REPEATS + 1):
        texts = choose.sample(passages, DOCUMENTS)  # fresh ones each time, the same for all
        for name, run in runs.items():
            started = time.perf_counter()
            run(texts)
            if repeat:  # the first is warm-up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours = medians["crossrank fp32"]
    title = f"1 query x {DOCUMENTS} passages of trec_dl19, MiniLM-L6, {threads} threads"
    return [
        (f"{title}: {name}", f"{median * 1e3:.0f} ms ({DOCUMENTS / median:.0f} pairs/s)", f"{median / ours:.2f}x")
        for name, median in medians.items()
    ]
