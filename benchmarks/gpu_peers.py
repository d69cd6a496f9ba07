"""crossrank's torch engine beside sentence-transformers on one device: models of four sizes, real passages.

Weights are random (the time does not depend on them), the tokenizer is the bundled model's. Every way gets the same
fresh passages at each repeat, in turn; a time is a whole call, tokenising included. `--dry-run` goes through everything
on the CPU with a tiny shape, to show that the script works.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copy
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from crossrank.backends.device import place_for
from crossrank.backends.torch import TorchBackend
from crossrank.bench.machine import describe
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.source import bundled_folder
from crossrank.checkpoint.weights import load_weights
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.nets.transformer import Transformer
from crossrank.testing import tiny_checkpoint
from peers.model import at_full_length
from peers.passages import Case, Passages

BATCH_SIZES = (32, 64, 128, 256)
DOCUMENTS = (20, 100, 1000)
REPEATS, WARM_UPS = 9, 3


@dataclass(frozen=True, slots=True)
class Size:
    """A model's shape."""

    name: str
    hidden: int
    heads: int
    layers: int

    def flops(self, lengths: list[int]) -> float:
        """Of all matrix products over rows of these lengths."""
        tokens = sum(lengths)
        dense = 2 * 12 * self.hidden**2 * tokens
        attention = 4 * self.hidden * sum(length**2 for length in lengths)
        return float(self.layers * (dense + attention))


SIZES = (
    Size("MiniLM-L6", 384, 12, 6),
    Size("MiniLM-L12", 384, 12, 12),
    Size("bge-base", 768, 12, 12),
    Size("bge-large", 1024, 16, 24),
)
DRY = Size("dry run", 48, 4, 2)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to score pairs."""

    name: str
    score: Callable[[list[tuple[str, str]]], Any]


def main() -> int:
    """Measure and print a table for each size; 2 for data that is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of sets in BEIR layout, trec_dl19 among them")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS)
    parser.add_argument("--dry-run", action="store_true", help="a tiny shape on the CPU, one repeat")
    arguments = parser.parse_args()
    if not (arguments.data / "trec_dl19").is_dir():
        print(f"{arguments.data} has no folder trec_dl19 (BEIR layout); give --data", file=sys.stderr)
        return 2
    if arguments.dry_run:
        arguments.device, arguments.repeats, arguments.documents = "cpu", 1, (20,)
    place = place_for(arguments.device, "auto")
    peak = matrix_peak(place.device, place.dtype)
    print(f"{describe()}, {place.name}, torch {torch.__version__}")
    print(f"{place.precision} matrix peak {peak / 1e12:.1f} TFLOP/s")
    passages = Passages(arguments.data, bundled_folder())
    with tempfile.TemporaryDirectory() as made:
        for size in (DRY,) if arguments.dry_run else SIZES:
            folder = checkpoint(size, Path(made) / size.name)
            ways, scorer = ours(folder, arguments.device), open_scorer(OpenConfig(str(folder), device=arguments.device))
            ways += theirs(folder, place.device)
            for documents in arguments.documents:
                table(size, Case("trec_dl19", documents), ways, passages, scorer, peak, arguments.repeats)
    return 0


def checkpoint(size: Size, folder: Path) -> Path:
    """A random BERT reranker of this size, with the bundled model's tokenizer."""
    tiny_checkpoint(
        folder,
        hidden=size.hidden,
        heads=size.heads,
        layers=size.layers,
        max_length=512,
        config={"vocab_size": 30_522, "intermediate_size": 4 * size.hidden},
        dtype="F16",
    )
    for file in ("tokenizer.json", "tokenizer_config.json"):
        copy(bundled_folder() / file, folder / file)
    return at_full_length(folder, folder.with_name(f"{folder.name} 512"))


def ours(folder: Path, device: str) -> list[Way]:
    """crossrank: kernels one by one, recorded, compiled; the last two on a GPU only."""
    profile, place = read_profile(folder, folder.name), place_for(device, "auto")
    weights = load_weights(folder, profile)
    opened = open_scorer(OpenConfig(str(folder), backend="torch", device=device, cache=None, long_documents="truncate"))

    def way(name: str, **options: bool) -> Way:
        backend = TorchBackend(profile, lambda *where: Transformer(profile, weights, *where), place, **options)
        scorer: Scorer = replace(opened, backend=backend)
        return Way(f"crossrank {place.precision} {name}", lambda pairs: scorer.score([Pair(*pair) for pair in pairs]))

    ways = [way("eager", graphs=False)]
    return [*ways, way("graphs"), way("compiled", compile=True)] if place.cuda else ways


def theirs(folder: Path, device: torch.device) -> list[Way]:
    """sentence-transformers in fp32 and bf16, each at every batch size; the table shows the best."""
    from sentence_transformers import CrossEncoder

    ways = []
    for dtype in ("float32", "bfloat16"):
        model = CrossEncoder(str(folder), device=str(device), model_kwargs={"dtype": dtype}, max_length=512)
        ways += [
            Way(
                f"sentence-transformers {dtype}, batches of {batch_size}",
                lambda pairs, model=model, batch_size=batch_size: model.predict(
                    pairs, batch_size=batch_size, show_progress_bar=False
                ),
            )
            for batch_size in BATCH_SIZES
        ]
    return ways


def table(
    size: Size, case: Case, ways: list[Way], passages: Passages, scorer: Scorer, peak: float, repeats: int
) -> None:
    """Time all ways in turn over the same passages, and print them, of sentence-transformers the best of each dtype."""
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    flops, host = [], []
    for repeat in range(-WARM_UPS, repeats):
        pairs = passages.turn(case, repeat)
        started = time.perf_counter()
        scorer.encoder.encode([Pair(*pair) for pair in pairs], {})
        tokenised = time.perf_counter() - started
        for way in ways:
            started = time.perf_counter()
            way.score(pairs)
            if repeat >= 0:
                times[way.name].append(time.perf_counter() - started)
        if repeat >= 0:
            flops.append(size.flops(passages.lengths(pairs)))
            host.append(tokenised)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    best: dict[str, str] = {}
    for name in sorted(medians, key=medians.__getitem__, reverse=True):
        best[name.split(",")[0]] = name
    shown = Table(title=f"{size.name}: {case}")
    for column in ("", "ms", "pairs/s", "share of the peak", "tokenising"):
        shown.add_column(column, justify="right" if column else "left")
    for name in best.values():
        seconds = medians[name]
        shown.add_row(
            name,
            f"{1e3 * seconds:.2f}",
            f"{case.documents / seconds:,.0f}",
            f"{statistics.median(flops) / seconds / peak:.1%}",
            f"{statistics.median(host) / seconds:.0%}" if name.startswith("crossrank") else "",
        )
    Console(width=120).print(shown)


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest square product, the best of several."""
    best = 0.0
    for width in (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048):
        a = torch.randn(width, width, device=device).to(dtype)
        b = torch.randn(width, width, device=device).to(dtype)
        for _ in range(5):
            synchronize(device)
            started = time.perf_counter()
            a @ b
            synchronize(device)
            best = max(best, 2 * width**3 / (time.perf_counter() - started))
    return best


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
