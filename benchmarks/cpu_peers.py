"""crossrank beside what people run a cross-encoder with on a CPU: in one run, in turn, each in its own environment.

Every peer is a warm process with the model loaded; each repeat gives all of them the same fresh passages; a peer's time
is what its own process takes around scoring, tokenising included. While one works the others are stopped.
"""

import argparse
import sys
from collections.abc import Callable, Collection
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path

from crossrank.bench.machine import Machine
from crossrank.bench.result import Result, read_result, write_result
from crossrank.checkpoint.source import bundled_folder
from crossrank.machine import usable_cores
from measured import Measured
from peers.catalog import IN_README, OURS, PEERS
from peers.compare import Comparison, Settings, ours_here
from peers.environments import Environments, default_folder, online
from peers.isa import FORCED
from peers.model import at_full_length
from peers.passages import LONG, RUNS, Case, Passages
from peers.report import peak_line, rows_of, split, table, targets, write_plot

REPEATS = 9
DOCUMENTS = (100, 20, 1000)
SETS = ("trec_dl19", "squad11_dev", LONG)
BATCH_SIZES, TOKEN_BUDGETS = (4, 8, 16, 32, 64), (1024, 2048, 4096, 8192)
OUT = Path("build/peers")


def main() -> int:
    """Compare, print, write; 2 for data that is not there, 130 when interrupted."""
    arguments = _parser().parse_args()
    if not (arguments.data / "trec_dl19").is_dir():
        print(f"{arguments.data} has no folder trec_dl19 (BEIR layout); give --data", file=sys.stderr)
        return 2
    try:
        compare(arguments)
    except KeyboardInterrupt:
        print("interrupted; all workers were ended", file=sys.stderr)
        return 130
    return 0


def measure(data: Path) -> Measured:
    """The first case, for `run.py`: its lines have the ratio to crossrank's best. None where no peer can be had."""
    first = ["--documents", str(DOCUMENTS[0]), "--sets", SETS[0], "--peers", ",".join(IN_README)]
    arguments = _parser().parse_args(["--data", str(data), *first])
    if not any(arguments.envs.glob("*/ready")) and not online():
        print(
            f"peers: skipped, nothing is installed in {arguments.envs} and pip's registry is silent",
            file=sys.stderr,
        )
        return Measured([], ())
    with redirect_stdout(sys.stderr):  # the whole tables; the lines are run.py's to print
        lines = compare(arguments)
    kept = read_result(arguments.out / "cpu_peers.json")
    return Measured(lines, kept.rows, kept.settings)


def compare(arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Run, print and write everything; rows of (what, measured, target or time / ours) for the first case."""
    arguments.model = at_full_length(arguments.model, arguments.out / "model")
    if arguments.quick:
        arguments.documents, arguments.repeats = [8], 2
    sizes = (2, 8) if arguments.quick else BATCH_SIZES
    budgets = (512, 2048) if arguments.quick else TOKEN_BUDGETS
    call_s = float(arguments.timeout)
    settings = Settings(arguments.threads, arguments.repeats, arguments.isa, sizes, budgets, call_s, call_s)
    here = ours_here(arguments.isa)
    wanted = arguments.peers or [*here, *(peer for peer in PEERS if peer not in OURS)]
    passages = Passages(arguments.data, arguments.model)
    envs = Environments(
        arguments.envs.resolve(), arguments.model.resolve(), passages.calibration(), offline=arguments.offline
    )
    logs = arguments.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    first, *rest = arguments.sets
    cases = [Case(first, count) for count in arguments.documents]
    cases += [Case(name, arguments.documents[0]) for name in rest]
    held = f", held to {arguments.isa}" if arguments.isa else ""
    machine = Machine.here()
    title = f"{machine}; {arguments.threads} used{held}, {arguments.repeats} repeats"
    print(f"## {title}\n")
    outcomes = []
    with Comparison(wanted, envs, settings, logs) as comparison:
        peak = comparison.gemm_peak()
        print(peak_line(peak))
        for case in cases:
            outcome = comparison.run(case, passages)
            print(table(outcome, comparison.opened, peak, arguments.isa), flush=True)
            outcomes.append(outcome)
            about = {**asdict(settings), "reference": comparison.reference, "peak_flops": peak}
            result = Result("peers", machine, tuple(rows_of(outcomes, comparison.opened, peak)), about)
            write_result(result, arguments.out / "cpu_peers.json")  # so far
            with suppress(ImportError):
                write_plot(arguments.out / "cpu_peers.png", outcomes, comparison.opened, title)
        rows = targets(outcomes[0], comparison.opened, peak, arguments.isa)
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if rows:
        print(f"| {outcomes[0].case} | measured | target |\n|---|---|---|\n{lines}")
    print(f"Written: {arguments.out}/cpu_peers.json, cpu_peers.png", file=sys.stderr)
    done, failed = split(outcomes[0])
    ours = min((result.median for result in done if result.peer in OURS), default=None)
    return [
        *(
            (
                f"{outcomes[0].case}: {PEERS[result.peer].what}",
                f"{result.median * 1e3:,.0f} ms ({outcomes[0].pairs / result.median:,.0f} pairs/s)",
                "" if ours is None else f"{result.median / ours:.2f}x",
            )
            for result in done
        ),
        *((PEERS[result.peer].what, "failed", result.error) for result in failed),
        *rows,
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"Peers: {', '.join(PEERS)}.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets in BEIR layout")
    parser.add_argument(
        "--envs", type=Path, default=default_folder(), help="folder of environments, kept (%(default)s)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder for JSON, plot and logs (%(default)s)")
    parser.add_argument("--model", type=Path, default=bundled_folder(), help="a BERT checkpoint (the bundled model)")
    parser.add_argument("--peers", type=_names(PEERS), help="comma-separated; all by default")
    parser.add_argument("--sets", type=_names((*RUNS, LONG)), default=list(SETS), help=f"of {', '.join(SETS)}; all")
    parser.add_argument(
        "--documents",
        type=_counts,
        default=list(DOCUMENTS),
        help=f"a query, {','.join(map(str, DOCUMENTS))} by default; the first set runs each, the others the first",
    )
    parser.add_argument("--repeats", type=_count, default=REPEATS, help="(%(default)s)")
    parser.add_argument("--threads", type=_count, default=usable_cores(), help="(%(default)s)")
    parser.add_argument("--isa", choices=FORCED, help="hold everything to an instruction set")
    parser.add_argument("--quick", action="store_true", help="8 documents, 2 repeats, 2 settings: does it all work?")
    parser.add_argument("--timeout", type=_count, default=600, help="seconds for a call, and for loading (%(default)s)")
    parser.add_argument("--offline", action="store_true", help="install nothing")
    return parser


def _names(allowed: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = text.split(",")
        if unknown := set(given) - set(allowed):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(allowed)}")
        return given

    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
