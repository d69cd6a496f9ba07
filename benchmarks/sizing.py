"""What one server takes and gives, for docs/deploy.md: start, memory at rest and under load, latency, throughput.

`crossrank serve` with the bundled model as a process of its own, its cache of scores off, asked over loopback; the
client takes its share of the same cores. The weights are packed beforehand where the model was opened here before.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import Request, urlopen

from crossrank.bench.machine import describe
from crossrank.server.models import resident_mb
from measured import Line

CHARACTERS = 400  # of a document, about 90 tokens
START_S_MAX = 60.0
CALLERS, CALLS = 8, 4
TEXT = "The manufacture, sale or transportation of intoxicating liquors within the United States is prohibited. "


def measure(callers: int = CALLERS, calls: int = CALLS) -> Iterator[Line]:
    """Lines of (what, measured, nothing)."""
    started = time.perf_counter()
    with serving() as (url, pid):
        yield "process start to `/ready`", f"{time.perf_counter() - started:.2f} s", ""
        yield "memory at rest", f"{resident_mb(pid):.0f} MB", ""
        for documents in (20, 100):
            times = [call(url, documents, number) for number in range(15)]
            yield f"{documents} documents, one caller, median", f"{1000 * statistics.median(times):.0f} ms", ""
        begun = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda number: call(url, 100, 100 + number), range(callers * calls)))
        pairs = 100 * callers * calls / (time.perf_counter() - begun)
        yield f"{callers} callers with 100 documents each", f"{pairs:,.0f} pairs/s", ""
        yield "memory after that", f"{resident_mb(pid):.0f} MB", ""


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """A server of its own: its address and its process."""
    command = [sys.executable, "-m", "crossrank", "serve", "--port", "0", "--no-log-calls", "--no-score-cache"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+", next(line for line in server.stderr if "serves at" in line))
        assert found is not None
        await_ready(found[0])
        yield found[0], server.pid
    finally:
        server.terminate()
        server.wait(60)


def await_ready(url: str) -> None:
    """Ask until the model is open."""
    until = time.perf_counter() + START_S_MAX
    while time.perf_counter() < until:
        try:
            urlopen(f"{url}/ready").close()
        except URLError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit("the server was not ready in time")


def call(url: str, documents: int, number: int) -> float:
    """Seconds of a call whose texts were never seen before."""
    texts = [f"{number} {index} {TEXT * 10}"[:CHARACTERS] for index in range(documents)]
    body = json.dumps({"query": f"when did alcohol become illegal {number}", "documents": texts}).encode()
    begun = time.perf_counter()
    with urlopen(Request(f"{url}/v1/rerank", body, {"content-type": "application/json"})) as answer:
        answer.read()
    return time.perf_counter() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=CALLERS, help="at a time, under load (%(default)s)")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each caller (%(default)s)")
    given = parser.parse_args()
    print(f"{describe()}\n\n| | |\n|---|---|")
    for what, measured, _ in measure(given.callers, given.calls):
        print(f"| {what} | {measured} |", flush=True)
