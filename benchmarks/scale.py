"""What a cluster costs: short pairs from Parquet through `rank_dataset` on several local nodes, beside one process.

Both use the same cores: nodes of one CPU each, and one `Reranker` with as many threads. In turn, several times. A job's
rate is counted from its first worker's first partition to its last one's last (`job`), and from the call to its return
(`all`: workers start, open the model and copy the texts). Beside it, how fast a node copies texts to its own disk.
"""

import json
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from crossrank import Reranker
from crossrank.cluster import rank_dataset
from crossrank.cluster.session import connected
from crossrank.machine import usable_cores
from measured import Line, Measured

if TYPE_CHECKING:
    from clusters import Dataset

PAIRS, REPEATS = 100_000, 3
COPIED, COPIED_WORDS = 300_000, 60
WAYS = {
    "engine": "one process, one `Reranker`",
    "job": "`rank_dataset`, first partition to last",
    "all": "`rank_dataset`, call to return",
}
TESTS = Path(__file__).resolve().parent.parent / "tests"


def measure() -> Measured:
    """Rows of pairs a second, and each way's share of the engine's; none where Ray is not installed."""
    if missing := [name for name in ("ray", "pyarrow") if find_spec(name) is None]:
        print(f"scale: left out, as {missing[0]} is not installed (pip install --group scale)", file=sys.stderr)
        return Measured.of([])
    nodes = usable_cores()
    rates = _rates(nodes)
    shares = {way: statistics.median(map(float.__truediv__, rates[way], rates["engine"])) for way in WAYS}
    median = {way: statistics.median(rates[way]) for way in WAYS}
    lines: list[Line] = [
        (what, f"{median[way]:,.0f} pairs/s", f"{shares[way]:.0%}" + " (target: >= 90%)" * (way == "job"))
        for way, what in WAYS.items()
    ]
    rows = tuple({"way": way, "what": WAYS[way], "pairs_per_s": rates[way], "share": shares[way]} for way in WAYS)
    copied = statistics.median(_copied() for _ in range(REPEATS))
    lines.append((f"texts of {COPIED_WORDS} words copied to a node's disk", f"{copied:,.0f} documents/s", ""))
    settings = {
        "pairs": PAIRS,
        "nodes": nodes,
        "repeats": REPEATS,
        "copied_per_s": copied,
        "copied_words": COPIED_WORDS,
    }
    return Measured(lines, rows, settings)


def _copied() -> float:
    """Documents a second, of one process."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from crossrank.cluster.storage import listed
    from crossrank.cluster.tables import ENDINGS
    from crossrank.cluster.texts import Source, Staged

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "corpus.parquet"
        passages = [f"{number} " + "passage " * COPIED_WORDS for number in range(COPIED)]
        pq.write_table(pa.table({"id": list(map(str, range(COPIED))), "text": passages}), file)
        source = Source("corpus", listed(str(file), ENDINGS), ("id", "text"))
        started = time.perf_counter()
        Staged.of(source, Path(name) / "scratch").close()
        return COPIED / (time.perf_counter() - started)


def _rates(nodes: int) -> dict[str, list[float]]:
    """Pairs a second of each way, repeat by repeat."""
    sys.path.insert(0, str(TESTS))
    from clusters import cluster, make_dataset

    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name, cluster(nodes) as made:
        dataset = make_dataset(Path(name) / "set", queries=PAIRS // 100, depth=100, documents=PAIRS // 20)
        with connected(made.address):
            for repeat in range(REPEATS):
                rates["engine"].append(PAIRS / _engine(dataset, nodes))
                job, whole = _job(dataset, Path(name) / f"out{repeat}")
                rates["job"].append(PAIRS / job)
                rates["all"].append(PAIRS / whole)
    return rates


def _engine(dataset: "Dataset", threads: int) -> float:
    queries: dict[str, list[str]] = {}
    for query, document in dataset.candidates:
        queries.setdefault(dataset.queries[query], []).append(dataset.corpus[document])
    with Reranker(cache=None, device="cpu", threads=threads) as ranker:
        ranker.rank("warm", ["up"])
        started = time.perf_counter()
        for _ in ranker.rank_many(list(queries), list(queries.values())):
            pass
        return time.perf_counter() - started


def _job(dataset: "Dataset", out: Path) -> tuple[float, float]:
    started = time.perf_counter()
    rank_dataset(*dataset.places, out, cpus_per_worker=1)
    whole = time.perf_counter() - started
    entries = json.loads((out / "manifest.json").read_text())["entries"]
    # Files are written at the end of a partition: its begin is that less the seconds that it took.
    ends = [(out / "scores" / f"part-{e['number']:06d}.parquet").stat().st_mtime for e in entries]
    begins = [end - sum(e["seconds"].values()) for end, e in zip(ends, entries, strict=True)]
    return max(ends) - min(begins), whole
