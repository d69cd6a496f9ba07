"""Runs the benchmarks and prints their tables in Markdown; with --write, README and docs quote what was measured.

--write keeps each result in benchmarks/results and rewrites the tables that are made from them (tables.py); --log adds
the printed tables to LOG.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import caching
import concurrency
import cpu_peers
import exactness
import footprint
import integrations
import language
import prompt
import replicas
import scale
import server
import sets
import shapes
import sizing
import startup
import tables
from blocks import RESULTS
from crossrank.bench.machine import Machine
from crossrank.bench.result import write_result
from measured import Line, Measured

Measure = Callable[[Path], Measured]
NEED_DATA = ("concurrency", "server", "peers", "replicas", "exactness", "language", "sets")


def _lines(measure: Callable[[Path], Iterable[Line]]) -> Measure:
    return lambda data: Measured.of(measure(data))


BENCHMARKS: dict[str, tuple[str, str, Measure]] = {
    "startup": ("Beginning", "target", _lines(lambda _: startup.measure())),
    "footprint": ("Weight", "target", _lines(lambda _: footprint.measure())),
    "concurrency": ("Many callers", "time / ours, or target", _lines(concurrency.measure)),
    "server": ("The server", "of the engine's", _lines(server.measure)),
    "sizing": ("One server", "", _lines(lambda _: sizing.measure())),
    "integrations": ("Frameworks and search", "target", _lines(lambda _: integrations.measure())),
    "peers": ("Peers", "time / ours, or target", cpu_peers.measure),
    "replicas": ("Replicas", "time / one model's, or target", _lines(replicas.measure)),
    "shapes": ("Models by shape", "", lambda _: shapes.measure()),
    "caching": ("Caches", "target", _lines(lambda _: caching.measure())),
    "prompt": ("Prompts", "target", _lines(lambda _: prompt.measure())),
    "language": ("The language guard", "target", _lines(language.measure)),
    "exactness": ("Exactness", "target", _lines(exactness.measure)),
    "scale": ("A cluster's job", "share of the engine's", lambda _: scale.measure()),
    "sets": ("nDCG@10", "", sets.measure),
}


def main() -> int:
    """Run what was asked for; 2 when the data is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without it")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets in BEIR layout")
    parser.add_argument("--log", action="store_true", help="add the tables to benchmarks/LOG.md")
    parser.add_argument("--write", action="store_true", help="keep results, and rewrite the tables made from them")
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if set(names) & set(NEED_DATA) and not (arguments.data / "trec_dl19").is_dir():
        print(f"{arguments.data} has no folder trec_dl19 (BEIR layout); give --data", file=sys.stderr)
        return 2
    machine = Machine.here()  # before anything is written: a rewritten table makes the source another one
    text = [f"## {machine}\n"]
    print(text[0])
    for name in names:
        title, last, measure = BENCHMARKS[name]
        measured = measure(arguments.data)
        if not measured.lines:
            continue  # it has said why
        lines = "".join(f"| {' | '.join(line)} |\n" for line in measured.lines)
        text.append(f"| {title} | measured | {last} |\n|---|---|---|\n{lines}")
        print(text[-1], flush=True)
        if arguments.write:
            write_result(measured.result(name, machine), RESULTS / f"{name}.json")
            tables.write()
    if arguments.log:
        with (Path(__file__).parent / "LOG.md").open("a") as log:
            log.write("\n" + "\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
