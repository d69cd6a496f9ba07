"""`crossrank doctor`: what this machine has, and the path the engine would take on it."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import click

from crossrank import __version__
from crossrank.cli.facts import print_facts
from crossrank.machine import cpu_name, cpu_quota, gpus, memory_bytes, usable_cores

EXTRAS = {"torch": "torch", "onnx": "onnxruntime", "eval": "ir_measures", "train": "sentence_transformers"}
SCHEMA_VERSION = 1


@click.command("doctor")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(model: str | None, *, as_json: bool) -> None:
    """Show what this machine has and which path the engine would take for MODEL (the bundled one without it)."""
    facts = {**_machine(), **_engine(model)}
    if as_json:
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **facts}, indent=2, ensure_ascii=False))
        return
    print_facts(dict(_shown(name, value) for name, value in facts.items()))


def _shown(name: str, value: Any) -> tuple[str, Any]:
    match name:
        case "cpu_quota_cores":
            return "cpu_quota", None if value is None else f"{value:g} cores"
        case "memory_bytes":
            return "memory", "unknown" if value is None else f"{value / 2**30:.1f} GiB"
        case "extras":
            return name, [f"{extra} ({number})" for extra, number in value.items()]
        case _:
            return name, value


def _machine() -> dict[str, Any]:
    from huggingface_hub import constants

    from crossrank import _native

    return {
        "crossrank": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_name(),
        "instruction_sets": _native.isas(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota_cores": cpu_quota(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
        "extras": {extra: _version(module) for extra, module in EXTRAS.items() if find_spec(module)},
        "cache_folder": constants.HF_HUB_CACHE,
    }


def _engine(model: str | None) -> dict[str, Any]:
    from crossrank.engine.open import OpenConfig, open_scorer

    scorer = open_scorer(OpenConfig(model))
    facts = scorer.backend.facts
    path = f"{facts.backend} on {facts.device}, {facts.detail}, {facts.precision}, {facts.threads} threads"
    return {"model": scorer.profile.name, "family": scorer.profile.family.name, "path": path}


def _version(module: str) -> str:
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return "unknown version"
