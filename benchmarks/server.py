"""`crossrank serve` beside the engine itself, and beside servers that people run: one machine, one model, in turn.

Each server is a process of its own, asked over loopback by a bounded client (benchmarks/load.py) with passages of TREC
DL 2019; crossrank's cache of scores is off. The client takes its share of the same cores.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

from crossrank import Reranker
from crossrank.bench.machine import describe
from crossrank.checkpoint.source import bundled_folder
from crossrank.collection import read_collection
from crossrank.machine import usable_cores
from load import Load, answer_of, load, request_of
from measured import Line
from peers.environments import Environments, UnavailableError, default_folder, online

CORPUS = "trec_dl19"
START_S_MAX = 180.0
STOP_S_MAX = 30.0
Call = tuple[str, list[str]]
Both = tuple[float, float]  # seconds that the engine itself took for a call, and a server
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is measured: the environment it runs in, its command, the path that is called."""

    name: str
    environment: str
    command: tuple[str, ...]
    path: str = "/rerank"


SERVERS = (
    Server(
        "crossrank serve",
        "ours",
        (
            "-m",
            "crossrank",
            "serve",
            "--port",
            "{port}",
            "--threads",
            "{threads}",
            "--no-score-cache",
            "--log-level",
            "warning",
        ),
    ),
    Server(
        "FastAPI + sentence-transformers",
        "fastapi",
        (str(PEERS / "fastapi_server.py"), "{model}", "{port}", "{threads}"),
    ),
    Server(
        "Infinity",
        "infinity",
        (
            "-c",
            "from infinity_emb.cli import cli; cli()",
            *(
                "v2",
                "--model-id",
                "{model}",
                "--port",
                "{port}",
                "--engine",
                "torch",
                "--device",
                "cpu",
                "--dtype",
                "float32",
            ),
        ),
    ),
)


@dataclass(slots=True)
class Figures:
    """What was measured of one server, a load after the other; over rounds, the same levels again."""

    loads: list[Load] = field(default_factory=list)
    both: list[Both] = field(default_factory=list)

    def of(self, connections: int) -> list[Load]:
        return [load for load in self.loads if load.connections == connections]


def main() -> int:
    """Measure, print, write; 2 for data that is not there."""
    arguments = _parser().parse_args()
    if not (arguments.data / CORPUS).is_dir():
        print(f"{arguments.data / CORPUS} is not there; give --data", file=sys.stderr)
        return 2
    print(f"## {describe()}; {arguments.threads} used; {arguments.documents} documents a call\n", flush=True)
    engine, figures = _compare(arguments)
    print("| | measured | of the engine's |\n|---|---|---|")
    for row in _lines(engine, figures, arguments):
        print(f"| {' | '.join(row)} |")
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = {name: [asdict(load) for load in found.loads] for name, found in figures.items()}
    (arguments.out / "server.json").write_text(json.dumps({"machine": describe(), "engine": engine, "servers": told}))
    return 0


def measure(data: Path) -> list[Line]:
    """Lines for `run.py`: crossrank's server, and those whose environments are here or can be made."""
    arguments = _parser().parse_args(["--data", str(data), "--rounds", "1", "--connections", "8", "32"])
    arguments.offline = not online()
    return _lines(*_compare(arguments), arguments)


def _compare(arguments: argparse.Namespace) -> tuple[float, dict[str, Figures]]:
    """Pairs a second of the engine itself, and what was measured of each server."""
    calls = list(_calls(arguments.data / CORPUS, arguments.documents, arguments.calls))
    rates, figures = [], {server.name: Figures() for server in SERVERS}
    with Reranker(cache=None, threads=arguments.threads) as reranker:
        for _ in range(arguments.rounds):
            for server in SERVERS:
                if arguments.only and server.environment not in arguments.only:
                    continue
                rates.append(_engine(reranker, calls, arguments))
                try:
                    loads, both = _measure(server, reranker, calls, arguments)
                except (UnavailableError, OSError, TimeoutError) as exc:
                    print(f"{server.name}: {exc}", file=sys.stderr)
                    continue
                figures[server.name].loads += loads
                figures[server.name].both += both
    return statistics.median(rates), figures


def _calls(corpus: Path, documents: int, calls: int) -> Iterator[Call]:
    """Queries with documents, all of them different: each passage is in one call only."""
    texts = list(islice(read_collection(corpus).corpus.values(), documents * calls))
    for number in range(len(texts) // documents):
        yield f"what is known of number {number}", texts[number * documents : (number + 1) * documents]


def _engine(reranker: Reranker, calls: list[Call], arguments: argparse.Namespace) -> float:
    """Pairs a second of the engine itself, with as many callers as the busiest server has."""
    turn = cycle(calls)

    async def caller(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            query, documents = next(turn)
            done += len(await reranker.arank(query, documents))
        return done

    async def together() -> float:
        started = time.perf_counter()
        until = started + arguments.seconds
        done = await asyncio.gather(*(caller(until) for _ in range(max(arguments.connections))))
        return sum(done) / (time.perf_counter() - started)

    return asyncio.run(together())


def _measure(
    server: Server, reranker: Reranker, calls: list[Call], arguments: argparse.Namespace
) -> tuple[list[Load], list[Both]]:
    """The server under each load; and single calls, each answered by the engine itself and then by the server."""
    requests = [request_of(server.path, _body(call)) for call in calls]
    with _running(server, arguments) as port:
        load(port, requests, 2, 2.0)  # warm
        loads = [load(port, requests, count, arguments.seconds) for count in arguments.connections]
        both: list[Both] = []
        with socket.create_connection(("127.0.0.1", port), timeout=START_S_MAX) as connection:
            until = time.perf_counter() + arguments.seconds
            for call, request in zip(calls, requests, strict=True):
                if (started := time.perf_counter()) > until:
                    break
                reranker.rank(*call)
                between = time.perf_counter()
                answer_of(connection, request)
                both.append((between - started, time.perf_counter() - between))
        return loads, both


def _body(call: Call) -> bytes:
    return json.dumps({"query": call[0], "documents": call[1]}).encode()


@contextmanager
def _running(server: Server, arguments: argparse.Namespace) -> Iterator[int]:
    """The port of a server that answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    envs = Environments(arguments.envs.resolve(), arguments.model, [], offline=arguments.offline)
    told = {"model": str(arguments.model), "port": str(port), "threads": str(arguments.threads)}
    command = [str(envs.python(server.environment)), *(part.format(**told) for part in server.command)]
    ours = {"OMP_NUM_THREADS": str(arguments.threads), "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    process = subprocess.Popen(command, env={**os.environ, **ours}, stdout=subprocess.DEVNULL)
    try:
        _wait(process, port, server)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, server: Server) -> None:
    body = request_of(server.path, json.dumps({"query": "a", "documents": ["b"]}).encode())
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise UnavailableError(f"ended with {process.returncode} before it served")
        try:
            if load(port, [body], 1, 0.01).latencies:
                return
        except (OSError, asyncio.IncompleteReadError):
            time.sleep(0.2)
    raise UnavailableError(f"does not serve after {START_S_MAX:.0f} s")


def _lines(engine: float, figures: dict[str, Figures], arguments: argparse.Namespace) -> list[Line]:
    callers = max(arguments.connections)
    lines: list[Line] = [(f"the engine itself, {callers} callers of `arank`", f"{engine:,.0f} pairs/s", "100%")]
    best: dict[str, float] = {}
    for name, found in figures.items():
        for count in arguments.connections:
            if not (loads := found.of(count)):
                continue
            rate = statistics.median(one.calls_a_second for one in loads) * arguments.documents
            best[name] = max(best.get(name, 0.0), rate)
            p50, p99 = (1e3 * statistics.median(one.quantile(share) for one in loads) for share in (0.5, 0.99))
            refused = sum(one.refused for one in loads)
            latencies = f"p50 {p50:,.1f} ms, p99 {p99:,.1f} ms" + f", {refused} refused" * bool(refused)
            lines.append(
                (f"{name}, {count} calls at a time", f"{rate:,.0f} pairs/s, {latencies}", f"{rate / engine:.0%}")
            )
    for name, found in figures.items():
        if found.both:
            alone, served = (1e3 * statistics.median(times) for times in zip(*found.both, strict=True))
            added = 1e3 * statistics.median(served - alone for alone, served in found.both)
            what = f"{name}, a single call, over the same by `rank`"
            lines.append((what, f"{added:.2f} ms more ({served:.1f}, {alone:.1f})", ""))
    ours = SERVERS[0].name
    lines += [
        (f"throughput of {ours} over {name}", f"{best[ours] / rate:.1f}x", "")
        for name, rate in best.items()
        if name != ours and ours in best
    ]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets in BEIR layout")
    parser.add_argument("--envs", type=Path, default=default_folder(), help="folder of environments (%(default)s)")
    parser.add_argument("--model", type=Path, default=bundled_folder(), help="folder of the model (the bundled one)")
    parser.add_argument("--documents", type=int, default=20, help="of a call (%(default)s)")
    parser.add_argument("--calls", type=int, default=200, help="that differ from one another (%(default)s)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32], help="calls at a time (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="each server is measured so often (%(default)s)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="(%(default)s)")
    parser.add_argument("--only", nargs="+", choices=[server.environment for server in SERVERS], help="not all servers")
    parser.add_argument("--offline", action="store_true", help="install nothing")
    parser.add_argument("--out", type=Path, default=Path("build"), help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
