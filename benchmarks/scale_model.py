"""What a billion pairs a day take: measured speeds of a core, scaled by simulation. Writes the tables of docs/scale.md.

    python benchmarks/scale_model.py            # prints them
    python benchmarks/scale_model.py --write    # and puts them into the page

Nothing is measured here, and nothing is random but what the seed says: the same tables on every machine.
"""

import heapq
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
SECTION = r"(?<=<!-- model: {} -->\n).*?(?=<!-- end -->)"
SEED = 13
DAY_S = 86_400.0
BILLION = 1_000_000_000
CORES_A_MACHINE = 16

# Two cores with AMX, the bundled model, 100 documents a query, 2026-11-21: README's table of peers (96 tokens), and
# benchmarks/LOG.md, commit 61b4167e99.
CORES_MEASURED = 2
MEASURED = {"int8": {96: 967, 195: 395, 512: 122}, "bf16": {96: 757, 195: 353, 512: 101}}  # pairs/s by tokens a pair
TOKENISE_S = 0.0152 / 100  # of a core, a passage of 75 words: LOG, the same commit
PASSAGE_BYTES = 383  # of UTF-8, the mean of trec_dl19
LINE_BYTES = 40  # of the output, a pair: two ids and a score

# Arithmetic, not measured: no GPU has run this yet.
LAYER_PARAMETERS = 10_600_000  # of crossrank-mini; two operations each for every token
GPU_PEAK = 989e12  # bf16 operations a second that the maker of an H100 states, without sparsity
GPU_SHARE = 0.25  # of the peak: what this asks of a GPU, and it has to be measured
LARGER = 8  # times the layers' parameters: bge-reranker-base's size

# An example's prices, in dollars; put in your own.
CORE_HOUR, GPU_HOUR = 0.05, 3.0

PARTITION_S = 100.0  # of a worker's time: what is done again when one is lost
SPREAD = 0.2  # of partitions' times, for their texts differ in length: the standard deviation, of the mean
UNEVEN = 0.05  # of workers' speeds, likewise
START_S = 3.0  # until a worker's process has opened the model
REPLACED_S = 120.0  # until another takes the place of one that died, if its machine has gone
TARGET_SHARE = 0.6  # of what a replica can do, that it is planned for

Table = tuple[Sequence[str], list[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Job:
    """An offline job: partitions that workers take one after the other, and begin anew when a worker is lost.

    Attributes:
        workers: at a time.
        partitions: in all.
        partition_s: what one takes, on average.
        losses_an_hour: of each worker.
    """

    workers: int
    partitions: int
    partition_s: float = PARTITION_S
    losses_an_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it: the share of all workers' time that went into results, and what was done in vain."""

    useful: float
    repeated: float
    losses: int


def run(job: Job, seed: int = SEED) -> Done:
    """Simulate a job: whoever is free takes the next partition; what a lost worker had begun goes back."""
    random = Random(seed)
    speeds = [random.gauss(1.0, UNEVEN) for _ in range(job.workers)]
    free = [(START_S, worker) for worker in range(job.workers)]
    heapq.heapify(free)
    waiting = [max(0.1, random.gauss(1.0, SPREAD)) * job.partition_s for _ in range(job.partitions)]
    useful = vain = last = 0.0
    losses = 0
    while waiting:
        now, worker = heapq.heappop(free)
        takes = waiting[-1] / speeds[worker]
        survives = random.expovariate(job.losses_an_hour / 3_600) if job.losses_an_hour else math.inf
        if survives < takes:
            losses, vain = losses + 1, vain + survives
            heapq.heappush(free, (now + survives + REPLACED_S + START_S, worker))
            continue
        useful, last = useful + takes, max(last, now + takes)
        waiting.pop()
        heapq.heappush(free, (now + takes, worker))
    return Done(useful / (job.workers * last), vain / useful, losses)


def waits(replicas: int, share: float, service_s: float, choices: int, seed: int = SEED) -> list[float]:
    """Seconds that calls wait, in order: they come at random, and each goes to the emptiest of some replicas.

    Args:
        replicas: each answers one call after the other.
        share: of all replicas' time that is asked for.
        service_s: of a call, on average; they differ as much as an exponential distribution does.
        choices: how many replicas are looked at; Ray Serve looks at two.
        seed: of what is random.
    """
    random = Random(seed)
    free_at, now, found = [0.0] * replicas, 0.0, []
    for _ in range(60_000):
        now += random.expovariate(share * replicas / service_s)
        chosen = min(random.sample(range(replicas), min(choices, replicas)), key=free_at.__getitem__)
        begins = max(now, free_at[chosen])
        free_at[chosen] = begins + random.expovariate(1 / service_s)
        found.append(begins - now)
    return sorted(found)


def a_core(precision: str, tokens: int) -> float:
    """Pairs a second of one core."""
    return MEASURED[precision][tokens] / CORES_MEASURED


def a_gpu(tokens: int) -> float:
    """Pairs a second of one GPU, by arithmetic."""
    return GPU_PEAK * GPU_SHARE / (2 * LAYER_PARAMETERS * tokens)


def speeds() -> Table:
    """What one core does."""
    rows = [
        [f"{tokens}", f"{a_core('int8', tokens):,.0f}", f"{a_core('bf16', tokens):,.0f}", f"{a_gpu(tokens):,.0f}"]
        for tokens in MEASURED["int8"]
    ]
    return ["tokens a pair", "a core, int8", "a core, bf16", "a GPU, by arithmetic"], rows


def machines() -> Table:
    """What a billion pairs a day take."""
    wanted = BILLION / DAY_S
    useful = run(Job(workers=64, partitions=64 * int(DAY_S / PARTITION_S), losses_an_hour=_one_percent())).useful
    rows = []
    for what, speed, hour, unit, bundle in _workloads():
        units = wanted / (speed * useful)
        hours = BILLION / (speed * useful) / 3_600
        bundles = math.ceil(units / bundle)
        count = f"{bundles:,} of {bundle} cores" if unit == "core" else f"{math.ceil(units):,} GPU" + "s" * (units > 1)
        rows.append([what, f"{speed:,.0f}", f"{units:,.1f} {unit}s", count, f"${hours * hour:,.0f}"])
    return ["1,000,000,000 pairs in a day", "pairs/s of one", "busy all day", "machines", "example's price"], rows


def _workloads() -> Iterator[tuple[str, float, float, str, int]]:
    for precision in ("int8", "bf16"):
        for tokens in MEASURED[precision]:
            speed = a_core(precision, tokens)
            yield f"crossrank-mini, {tokens} tokens, {precision}", speed, CORE_HOUR, "core", CORES_A_MACHINE
    speed = a_core("int8", 96) / LARGER
    yield f"{LARGER} times the size, 96 tokens, int8 (arithmetic)", speed, CORE_HOUR, "core", CORES_A_MACHINE
    for times in (1, LARGER):
        size = "crossrank-mini" if times == 1 else f"{times} times the size"
        yield f"{size}, 96 tokens, GPU (arithmetic)", a_gpu(96) / times, GPU_HOUR, "GPU", 1


def _one_percent() -> float:
    """Losses of a worker an hour of which one partition in a hundred is one."""
    return 0.01 * 3_600 / PARTITION_S


def failures() -> Table:
    """What losses cost, by the length of a partition."""
    rows = []
    for seconds in (10.0, 100.0, 1_000.0):
        cells = []
        for share in (0.0, 0.01, 0.05):
            done = run(Job(64, round(64 * 36_000 / seconds), seconds, share * 3_600 / PARTITION_S))
            cells.append(f"{done.useful:.1%} ({done.repeated:.1%})" if share else f"{done.useful:.1%}")
        rows.append([f"{seconds:,.0f} s", *cells])
    return ["a partition takes", "no losses", "1 % of 100 s partitions", "5 % of them"], rows


def sizes() -> Table:
    """How the share of useful time falls when a job of one size is given to more workers."""
    rows = []
    for workers in (16, 64, 256, 1_024):
        partitions = 16 * 1_024  # a billion pairs in partitions of 61,000
        done = run(Job(workers, partitions, losses_an_hour=_one_percent()))
        ideal_s = partitions * PARTITION_S / workers
        rows.append(
            [f"{workers:,}", f"{ideal_s / done.useful / 3_600:.2f} h", f"{done.useful:.1%}", f"{done.losses:,}"]
        )
    return ["workers", "a billion pairs take", "useful time", "workers lost"], rows


def limits() -> Table:
    """What flows, beside what it flows through."""
    rows = []
    for what, speed, count in (
        ("64 cores, int8", a_core("int8", 96), 64),
        ("1 GPU, by arithmetic", a_gpu(96), 1),
        ("8 GPUs, by arithmetic", a_gpu(96), 8),
    ):
        pairs = speed * count
        into, out = pairs * PASSAGE_BYTES * 8 / 1e9, pairs * LINE_BYTES * 8 / 1e9
        rows.append([what, f"{pairs:,.0f}", f"{into:.2f}", f"{out:.2f}", f"{pairs * TOKENISE_S:,.1f}"])
    return ["96 tokens a pair", "pairs/s", "texts, Gbit/s", "scores, Gbit/s", "cores that tokenise"], rows


def online() -> Table:
    """How long calls wait, by how much is asked of replicas."""
    service_s = 20 / MEASURED["int8"][96]
    rows = []
    for share in (0.4, 0.6, 0.8, 0.9):
        found = {replicas: waits(replicas, share, service_s, 2) for replicas in (1, 4, 64)}
        cells = [f"{1_000 * times[len(times) * 99 // 100]:,.0f}" for times in found.values()]
        rows.append([f"{share:.0%}", f"{share / service_s:,.0f}", *cells])
    return ["asked of a replica", "calls/s of each", "p99 wait, ms: 1 replica", "4 replicas", "64 replicas"], rows


def replicas() -> Table:
    """How many replicas answer so many calls."""
    service_s = 20 / MEASURED["int8"][96]
    rows = []
    for calls in (100, 1_000, 5_000):
        count = math.ceil(calls * service_s / TARGET_SHARE)
        rows.append([f"{calls:,}", f"{20 * calls:,}", f"{count:,}", f"{count * CORES_MEASURED:,}"])
    return ["calls/s of 20 documents", "pairs/s", f"replicas at {TARGET_SHARE:.0%}", "cores"], rows


TABLES: dict[str, Callable[[], Table]] = {
    make.__name__: make for make in (speeds, machines, sizes, failures, limits, online, replicas)
}


def markdown(table: Table) -> str:
    """A table as the page has it."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def filled(text: str) -> str:
    """The page with the tables of this script."""
    for name, make in TABLES.items():
        table = markdown(make())
        text = re.sub(SECTION.format(name), lambda _, table=table: table, text, count=1, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for title, make_table in TABLES.items():
        sys.stdout.write(f"{title}\n{markdown(make_table())}")
    if "--write" in sys.argv[1:]:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
