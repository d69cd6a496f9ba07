"""`crossrank doctor --precision MODEL`: how fast each precision is on this machine, and how far it agrees with fp32."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from crossrank.checkpoint.source import locate
from crossrank.cli.eval_inputs import Stage
from crossrank.cli.facts import print_columns, print_facts, say
from crossrank.cli.progress import waiting
from crossrank.collection import read_collection
from crossrank.engine.open import available_precisions
from crossrank.engine.precision import GATES, Measured, Verdict, by_exactness, keep
from crossrank.evaluate.candidates import candidates_of
from crossrank.evaluate.precision import SHIPPED, Probe, measure, probes_of, shipped_probes
from crossrank.machine import cpu_name, usable_cores
from crossrank.reranker import Reranker

SCHEMA_VERSION = 1
HEADINGS = ("precision", "pairs/s", "ms for 100", "max |logit difference|", "tau", "nDCG@10", "difference", "gate")


def examine(
    model: str | None,
    data: Path | None,
    *,
    split: str,
    limit: int | None,
    threads: int | None,
    allow_unverified: bool = False,
    as_json: bool,
) -> None:
    """Measure, keep the verdict for those who open the model with precision "auto", and print."""
    name, probes = (SHIPPED, shipped_probes()) if data is None else _probes(data, split, limit)
    source = locate(model)
    isa, precisions = available_precisions()
    pairs = sum(len(probe.texts) for probe in probes)
    opening = partial(Reranker, model, backend="native", threads=threads, cache=None, allow_unverified=allow_unverified)
    with ExitStack() as stack:
        with waiting("Opening the model"):
            models = {
                precision: stack.enter_context(opening(precision=precision)) for precision in by_exactness(precisions)
            }
        with waiting(f"Scoring {pairs:,} pairs in {', '.join(models)}"):
            verdict = Verdict(measure(models, probes), name, cpu_name())
    file, trouble = _kept(verdict, source.folder, isa)
    facts = {
        "model": source.name,
        "processor": verdict.processor,
        "instruction_set": isa,
        "threads": threads or usable_cores(),
        "data": name,
        "queries": len(probes),
        "pairs": pairs,
    }
    if as_json:
        found = [_row(one) for one in verdict.measured]
        outcome = {"precisions": found, "auto": verdict.fastest, "kept": None if file is None else str(file)}
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **facts, **outcome}, indent=2, ensure_ascii=False))
    else:
        print_facts(facts)
        click.echo()
        print_columns(HEADINGS, [_cells(one) for one in verdict.measured], expendable=(HEADINGS[5], HEADINGS[1]))
        later = "" if file is None else f' Precision "auto" opens this model in it from now on ({file}).'
        say(f"\nThe fastest that agrees with fp32: {verdict.fastest}.{later}")
    if trouble is not None:
        click.echo(
            f'crossrank: the verdict could not be kept ({trouble}), so that "auto" stays what it was. '
            "Set CROSSRANK_CACHE to a folder you can write to.",
            err=True,
        )


def _probes(data: Path, split: str, limit: int | None) -> tuple[str, list[Probe]]:
    with waiting("Reading the collection"):
        collection = read_collection(data, split=split)
        candidates = candidates_of(Stage(None, pool=False, bm25=False).open(collection, data, split, None), collection)
    return collection.name, probes_of(collection, candidates, limit)


def _kept(verdict: Verdict, folder: Path, isa: str) -> tuple[Path | None, str | None]:
    """The file, or why there is none: what was measured is worth printing on a machine without a writable home too."""
    try:
        return keep(verdict, folder, isa), None
    except OSError as exc:
        return None, f"{exc.filename or 'cache'}: {exc.strerror or exc}"


def _row(one: Measured) -> dict[str, Any]:
    gate = None if one.precision not in GATES else asdict(GATES[one.precision])
    ms = round(1e5 / one.pairs_per_s, 3)
    return {**asdict(one), "ms_per_100_pairs": ms, "gate": gate, "passes": not one.failures, "failures": one.failures}


def _cells(one: Measured) -> tuple[str, ...]:
    exact = one.precision not in GATES
    return (
        one.precision,
        f"{one.pairs_per_s:,.0f}",
        f"{1e5 / one.pairs_per_s:,.1f}",
        f"{one.logit_difference_max:.4f}",
        f"{one.tau:.4f}",
        f"{one.ndcg:.4f}",
        f"{one.ndcg_difference:+.4f}",
        "is the measure" if exact else "; ".join(one.failures) or "passes",
    )
