"""What a cluster costs: short pairs from Parquet through `rank_dataset` on several local nodes, beside one process.

Both use the same cores: nodes of one CPU each, and one `Reranker` with as many threads. In turn, several times. A job's
rate is counted from its first worker's first partition to its last one's last (`job`), and from the call to its return
(`all`: workers start, open the model and copy the texts).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from crossrank import Reranker
from crossrank.cluster import rank_dataset
from crossrank.cluster.session import connected
from crossrank.machine import usable_cores

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from clusters import Dataset, cluster, make_dataset

REPEATS = 3


def measure(pairs: int, nodes: int, repeats: int = REPEATS) -> dict[str, list[float]]:
    """Pairs a second of each way, repeat by repeat."""
    rates: dict[str, list[float]] = {"engine": [], "job": [], "all": []}
    with tempfile.TemporaryDirectory() as name, cluster(nodes) as made:
        dataset = make_dataset(Path(name) / "set", queries=pairs // 100, depth=100, documents=pairs // 20)
        with connected(made.address):
            for repeat in range(repeats):
                rates["engine"].append(pairs / _engine(dataset, nodes))
                job, whole = _job(dataset, Path(name) / f"out{repeat}")
                rates["job"].append(pairs / job)
                rates["all"].append(pairs / whole)
    return rates


def _engine(dataset: Dataset, threads: int) -> float:
    queries: dict[str, list[str]] = {}
    for query, document in dataset.candidates:
        queries.setdefault(dataset.queries[query], []).append(dataset.corpus[document])
    with Reranker(cache=None, device="cpu", threads=threads) as ranker:
        ranker.rank("warm", ["up"])
        started = time.perf_counter()
        for _ in ranker.rank_many(list(queries), list(queries.values())):
            pass
        return time.perf_counter() - started


def _job(dataset: Dataset, out: Path) -> tuple[float, float]:
    started = time.perf_counter()
    rank_dataset(*dataset.places, out, cpus_per_worker=1)
    whole = time.perf_counter() - started
    entries = json.loads((out / "manifest.json").read_text())["entries"]
    # Files are written at the end of a partition: its begin is that less the seconds that it took.
    ends = [(out / "scores" / f"part-{e['number']:06d}.parquet").stat().st_mtime for e in entries]
    begins = [end - sum(e["seconds"].values()) for end, e in zip(ends, entries, strict=True)]
    return max(ends) - min(begins), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=usable_cores())
    given = parser.parse_args()
    rates = measure(given.pairs, given.nodes)
    for name, found in rates.items():
        print(f"{name:7} {statistics.median(found):9,.0f} pairs/s  ({', '.join(f'{rate:,.0f}' for rate in found)})")
    shares = [job / engine for job, engine in zip(rates["job"], rates["engine"], strict=True)]
    print(f"job / engine: {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()
