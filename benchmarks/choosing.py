"""What reranking costs a month by the queries a day: vendors' APIs beside machines of one's own. Data and picture.

    python benchmarks/choosing.py --measure          times the models on this machine, writes results/choosing.json
    python benchmarks/choosing.py                    draws docs/choosing.png from it, prints the page's table

Prices are those of crossrank's table (`crossrank.remote.costs`, with its date and source); the machine's price is an
assumption, given as --machine-usd. Everything else is in the file.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from crossrank.choice.cost import Load, Machine, api_month_usd, break_even
from crossrank.remote.costs import AS_OF, SOURCE, price_of

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "choosing.json"
PICTURE = HERE.parent / "docs" / "choosing.png"
MODELS = ("crossrank-mini", "cross-encoder/ettin-reranker-68m-v1", "BAAI/bge-reranker-base")
APIS = ("cohere:rerank-v4.0-pro", "cohere:rerank-v4.0-fast", "voyage:rerank-2.5", "voyage:rerank-2.5-lite")
MACHINE_USD = 60.0
VOLUMES = [10 ** (exponent / 20) for exponent in range(40, 141)]  # queries a day, 100 to 10 million


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="time the models on this machine first")
    parser.add_argument("--machine-usd", type=float, default=MACHINE_USD, help="dollars a month for this machine")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    if arguments.measure:
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    draw(results, arguments.machine_usd, arguments.out)
    print("\n".join(table(results, arguments.machine_usd)))


def measured() -> dict[str, Any]:
    """Seconds of all cores for a query and its documents on this machine, by model: CPU time over cores.

    It is what a query costs; other work on the machine hardly changes it, which it would the time on the clock.
    """
    import time

    from crossrank.checkpoint.shapes import SHAPES
    from crossrank.choice.kept import Kept
    from crossrank.choice.timing import Timing, Timings
    from crossrank.engine.options import OpenConfig
    from crossrank.machine import cpu_name, usable_cores

    cores = usable_cores()
    timings = Timings(OpenConfig(device="cpu"), Kept(None), clock=lambda: time.process_time() / cores)
    load, models = Load(), {}
    for name in MODELS:
        timing = timings.of(SHAPES[name], load.documents, load.tokens, 512)
        assert isinstance(timing, Timing), timing
        seconds = timing.seconds * load.documents / timing.documents
        models[name] = {"query_s": seconds, "engine": timing.engine, "date": timing.date, "timed": timing.documents}
    machine = {"processor": cpu_name(), "cores": cores}
    return {"machine": machine, "documents": load.documents, "tokens": load.tokens, "models": models}


def table(results: dict[str, Any], machine_usd: float) -> list[str]:
    """Markdown: dollars a month at a few volumes, and from where on a machine of one's own costs less."""
    load = Load(results["documents"], results["tokens"])
    volumes = (1_000, 10_000, 100_000, 1_000_000)
    lines = ["| a month | " + " | ".join(f"{volume:,} a day" for volume in volumes) + " | a machine costs less from |"]
    lines.append("|---|" + "---:|" * (len(volumes) + 1))
    cheapest = Machine(machine_usd, results["models"][MODELS[0]]["query_s"])
    for name in APIS:
        price = price_of(*name.split(":"))
        assert price is not None
        costs = (f"${api_month_usd(price, volume, load):,.0f}" for volume in volumes)
        lines.append(f"| {name} | {' | '.join(costs)} | {break_even(price, cheapest, load):,.0f} a day |")
    for name in MODELS:
        machine = Machine(machine_usd, results["models"][name]["query_s"])
        costs = (f"${machine.month_usd(volume, load):,.0f}" for volume in volumes)
        lines.append(f"| {name} here | {' | '.join(costs)} |  |")
    return lines


def draw(results: dict[str, Any], machine_usd: float, file: Path) -> None:
    """The same as lines."""
    from matplotlib.figure import Figure

    load = Load(results["documents"], results["tokens"])
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, style in zip(APIS, ("-", "--", "-.", ":"), strict=True):
        price = price_of(*name.split(":"))
        assert price is not None
        axes.plot(VOLUMES, [api_month_usd(price, v, load) for v in VOLUMES], style, color="#c0483a", label=name)
    for name, style in zip(MODELS, ("-", "--", "-."), strict=True):
        machine = Machine(machine_usd, results["models"][name]["query_s"])
        costs = [machine.month_usd(volume, load) for volume in VOLUMES]
        label = f"{name}, {1000 * machine.query_s:,.0f} ms of it a query"
        axes.plot(VOLUMES, costs, style, color="#3b5b92", drawstyle="steps-mid", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(5, None)
    axes.set_xlabel(f"queries a day, each with {load.documents} documents of {load.tokens} tokens")
    axes.set_ylabel("US dollars a month")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_title(
        f"APIs: {SOURCE}, {AS_OF}. Machines: ${machine_usd:,.0f} a month each, assumed", fontsize=9, loc="left"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
