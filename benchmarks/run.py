"""Runs the benchmarks and prints their tables in Markdown; with --log they are added to LOG.md."""

import argparse
import sys
from pathlib import Path

import caching
import concurrency
import cpu_peers
import footprint
import integrations
import prompt
import quality
import replicas
import speed
import startup
from machine import describe

BENCHMARKS = {
    "startup": ("Beginning", "target", lambda _: startup.measure()),
    "footprint": ("Weight", "target", lambda _: footprint.measure()),
    "speed": ("Speed", "time / ours", speed.measure),
    "concurrency": ("Many callers", "time / ours, or target", concurrency.measure),
    "integrations": ("Frameworks and search", "target", lambda _: integrations.measure()),
    "peers": ("Peers", "time / ours, or target", cpu_peers.measure),
    "replicas": ("Replicas", "time / one model's, or target", replicas.measure),
    "caching": ("Caches", "target", lambda _: caching.measure()),
    "prompt": ("Prompts", "target", lambda _: prompt.measure()),
    "quality": ("Exactness", "target", quality.measure),
}
NEED_DATA = ("speed", "concurrency", "peers", "replicas", "quality")


def main() -> int:
    """Run what was asked for; 2 when the data is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without it")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets in BEIR layout")
    parser.add_argument("--log", action="store_true", help="add the tables to benchmarks/LOG.md")
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    text = [f"## {describe()}\n"]
    print(text[0])
    for name in names:
        if name in NEED_DATA and not (arguments.data / "trec_dl19").is_dir():
            print(f"{name}: {arguments.data} has no folder trec_dl19 (BEIR layout); give --data", file=sys.stderr)
            return 2
        title, last, measure = BENCHMARKS[name]
        rows = "".join(f"| {' | '.join(row)} |\n" for row in measure(arguments.data))
        if not rows:
            continue  # it has said why
        text.append(f"| {title} | measured | {last} |\n|---|---|---|\n{rows}")
        print(text[-1], flush=True)
    if arguments.log:
        with (Path(__file__).parent / "LOG.md").open("a") as log:
            log.write("\n" + "\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
