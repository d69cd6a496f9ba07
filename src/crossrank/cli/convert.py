"""`crossrank convert FOLDER OUT`: weights from pickles to safetensors. It knows the terminal only."""

from pathlib import Path

import click

from crossrank.checkpoint.prompts import PROMPTS
from crossrank.cli.facts import print_facts
from crossrank.cli.progress import waiting

EXAMPLES = """\b
Examples:
  crossrank convert ./old-model ./model
  crossrank convert ./monot5-base-msmarco ./model --template monot5
"""


@click.command("convert", epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--template", type=click.Choice(list(PROMPTS)), help="How a language model is asked, if its files do not tell."
)
@click.option("--force", is_flag=True, help="Replace files of the same names in OUT.")
def command(folder: Path, out: Path, *, template: str | None, force: bool) -> None:
    """Write the model in FOLDER, whose weights are pytorch_model.bin, to OUT with model.safetensors.

    A .bin file is a pickle, which can run code when it is loaded. Only its tensors are read, by a reader that runs
    none; a file that holds anything else is refused.
    """
    from crossrank.export.convert import convert

    with waiting("Converting"):
        converted = convert(folder, out, template=template, force=force)
    print_facts(
        {
            "folder": str(converted.folder),
            "read": [file.name for file in converted.read],
            "tensors": converted.tensors,
            "megabytes": round(converted.bytes / 1e6, 1),
            "family": converted.profile.family.name,
        }
    )
