"""`crossrank export MODEL --onnx OUT`: a model as ONNX, with a report of how closely it gives the same scores.

It knows the terminal; the work is in `crossrank.export`.
"""

import json
from pathlib import Path

import click

from crossrank.cli.facts import print_facts
from crossrank.cli.progress import waiting

SCHEMA_VERSION = 1
EXAMPLES = """\b
Examples:
  crossrank export BAAI/bge-reranker-base --onnx bge-onnx
  crossrank export ./mine --onnx mine-onnx --opset 20
"""


@click.command("export", epilog=EXAMPLES)
@click.argument("model", required=False)
@click.option("--onnx", "out", metavar="OUT", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--opset", metavar="N", type=click.IntRange(min=1), help="Version of ONNX's operators.")
@click.option("--revision", help="Branch, tag or commit of a model on the hub.")
@click.option("--force", is_flag=True, help="Replace files of the same names in OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: str | None, *, out: Path, opset: int | None, revision: str | None, force: bool, as_json: bool
) -> None:
    """Write MODEL (the bundled one by default) to OUT/model.onnx, with its tokenizer and configuration.

    Logits of the file are compared with crossrank's own in fp32, over pairs of many lengths; where they differ by more
    than 0.001, nothing is written. OUT opens in crossrank, and model.onnx in any ONNX runtime.
    """
    from crossrank.export.onnx import export_onnx
    from crossrank.export.parity import DIFFERENCE_MAX

    with waiting("Exporting"):
        exported = export_onnx(model, out, revision=revision, opset=opset, force=force)
    found = exported.parity
    figures = {"largest_difference": found.largest, "mean_difference": found.mean, "spread_of_logits": found.spread}
    facts = {
        "file": str(exported.file),
        "megabytes": round(exported.file.stat().st_size / 1e6, 1),
        "opset": exported.opset,
        "inputs": list(exported.inputs),
        "pairs_compared": found.pairs,
    }
    if as_json:
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **facts, **figures}, indent=2))
        return
    shown = {name: f"{value:.2g}" for name, value in figures.items()}
    print_facts({**facts, **shown, "allowed_difference": f"{DIFFERENCE_MAX:g}"})
