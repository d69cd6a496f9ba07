"""`crossrank doctor`: what this machine has, and the path the engine would take on it."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from crossrank import __version__
from crossrank.cli.facts import print_facts
from crossrank.cli.options import allow_unverified
from crossrank.machine import cpu_name, cpu_quota, gpus, memory_bytes, usable_cores
from crossrank.numa import domains

EXTRAS = {
    "torch": "torch",
    "onnx": "onnxruntime",
    "eval": "ir_measures",
    "train": "sentence_transformers",
    "language": "py3langid",
}
SCHEMA_VERSION = 1


EXAMPLES = """\b
Examples:
  crossrank doctor
  crossrank doctor --precision BAAI/bge-reranker-base
  crossrank doctor --precision ./mine --data my-collection --limit 100
"""


@click.command("doctor", epilog=EXAMPLES)
@click.argument("model", required=False)
@click.option("--precision", is_flag=True, help="Measure each precision: its speed, and its agreement with fp32.")
@click.option(
    "--data", metavar="FOLDER", type=click.Path(path_type=Path), help="Measure on a set in BEIR layout, not on probes."
)
@click.option("--split", metavar="NAME", help="Judgements: FOLDER/qrels/NAME.tsv; else those of test.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N judged queries of the set.")
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@allow_unverified
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: str | None,
    *,
    precision: bool,
    data: Path | None,
    split: str | None,
    limit: int | None,
    threads: int | None,
    allow_unverified: bool,
    as_json: bool,
) -> None:
    """Show what this machine has and which path the engine would take for MODEL (the bundled one without it).

    With --precision, measure instead how fast each precision is here, and how far its scores and rankings agree with
    those of fp32: on probes that come with crossrank, or on --data. The verdict is kept: from then on precision "auto",
    the default, opens MODEL in the fastest precision that agrees.
    """
    if precision:
        from crossrank.cli.doctor_precision import examine

        if data is None and (split or limit):
            raise click.UsageError("--split and --limit are for --data FOLDER.")
        examine(
            model,
            data,
            split=split or "test",
            limit=limit,
            threads=threads,
            allow_unverified=allow_unverified,
            as_json=as_json,
        )
        return
    if data is not None or split or limit or threads:
        raise click.UsageError("--data, --split, --limit and --threads are for --precision.")
    facts = {**_machine(), **_engine(model, allow_unverified=allow_unverified)}
    if as_json:
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **facts}, indent=2, ensure_ascii=False))
        return
    print_facts(dict(_shown(name, value) for name, value in facts.items()))


def _shown(name: str, value: Any) -> tuple[str, Any]:
    match name:
        case "cpu_quota_cores":
            return "cpu_quota", None if value is None else f"{value:g} cores"
        case "numa_domains":
            return name, [f"{number} ({len(cores)} cores)" for number, cores in value.items()]
        case "memory_bytes":
            return "memory", "unknown" if value is None else f"{value / 2**30:.1f} GiB"
        case "extras":
            return name, [f"{extra} ({number})" for extra, number in value.items()]
        case "self_test":
            pairs = [f"{one['answers']:.3f} against {one['does_not']:.3f}" for one in value]
            return "self-test", f"{', '.join(pairs)} (a document that answers, one that does not)"
        case "doubts":
            return name, value or "none"
        case "precision_measured_on":
            return name, value or "nothing; --precision does it"
        case _:
            return name, value


def _machine() -> dict[str, Any]:
    from crossrank import _native
    from crossrank.checkpoint.hub import cache_place

    return {
        "crossrank": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_name(),
        "instruction_sets": _native.isas(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "numa_domains": {str(domain.number): list(domain.cores) for domain in domains()},
        "cpu_quota_cores": cpu_quota(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
        "extras": {extra: _version(module) for extra, module in EXTRAS.items() if find_spec(module)},
        "cache_folder": cache_place(),
    }


def _engine(model: str | None, *, allow_unverified: bool) -> dict[str, Any]:
    from crossrank.checkpoint.source import locate
    from crossrank.engine.open import available_precisions, open_scorer
    from crossrank.engine.options import OpenConfig
    from crossrank.engine.precision import kept
    from crossrank.engine.selftest import self_test

    scorer = open_scorer(OpenConfig(model, self_test=False, allow_unverified=allow_unverified))
    tested = self_test(scorer)
    facts = scorer.backend.facts
    measured = {}
    if facts.backend == "native":  # only its precisions are measured
        verdict = kept(locate(model).folder, *available_precisions())
        measured = {"precision_measured_on": None if verdict is None else verdict.on}
    return {
        "self_test": [{"answers": on, "does_not": off} for on, off in tested.logits],
        "doubts": list(tested.doubts),
        "model": scorer.profile.name,
        "family": scorer.profile.family.name,
        "precisions": list(facts.precisions),
        **measured,
        "path": f"{facts.backend} on {facts.device}, {facts.detail}, {facts.precision}"
        + (f", {facts.threads} threads" if facts.threads else ""),
    }


def _version(module: str) -> str:
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return "unknown version"
