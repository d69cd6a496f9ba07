"""`crossrank models`: the known models, which to choose, what a checkpoint is, the hub's cache."""

import json
from importlib import import_module
from typing import Any

import click

from crossrank.checkpoint import hub
from crossrank.checkpoint.catalogue import KNOWN, KnownModel, golden, suggestion
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.source import BUNDLED, Source, locate
from crossrank.cli.facts import print_columns, print_facts
from crossrank.errors import ModelNotFoundError, UsageError

CHOOSING = {  # an option, in place of a subcommand: its module, imported when it is asked for
    "recommend": "crossrank.cli.models_recommend",
    "compare": "crossrank.cli.models_compare",
}


class _Models(click.Group):
    """`models --recommend ...` and `models --compare A B ...` are the subcommands of these names, in any order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for name in CHOOSING:
            if args and args[0].startswith("-") and f"--{name}" in args:
                args = [name, *(arg for arg in args if arg != f"--{name}")]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*self.commands, *CHOOSING]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in CHOOSING:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(CHOOSING[cmd_name]).command
        return command


@click.group("models", cls=_Models, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, choose, describe, download and remove models.

    --recommend ranks them for your latency and language; --compare A B shows two on your own queries.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_models(*, as_json: bool) -> None:
    """Known models, and which of them are on this machine. Others of the same families work as well.

    Verified: when the real weights gave the scores of the authors' code. Those "on demand" were never compared with it,
    as that code comes with the checkpoint; they are opened with --allow-unverified.
    """
    here = {BUNDLED, *(name for name, cached in hub.cached().items() if cached.here)}
    rows = [{**_row(model), "here": model.name in here} for model in KNOWN]
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "models": rows}, indent=2))
        return
    print_columns(
        ("model", "family", "params", "max length", "languages", "licence", "engines", "verified", "here"),
        [
            (
                row["name"],
                row["family"],
                f"{row['parameters_m']:.1f} M",
                str(row["max_length"]),
                row["languages"],
                row["licence"],
                row["engines"],
                row["verified"] or ("on demand" if row["on_demand"] else "not yet"),
                "yes" if row["here"] else "",
            )
            for row in rows
        ],
        expendable=("licence", "languages", "max length", "family", "params", "verified", "engines"),
    )


@command.command("info", short_help="What a model is: its family, size, context, head.")
@click.argument("spec", metavar="[MODEL]", default=BUNDLED)
@click.option("--revision", help="Branch, tag or commit of a model on the hub.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def info(spec: str, *, revision: str | None, as_json: bool) -> None:
    """What MODEL is (the bundled one by default): its family, size, context, head. Downloads it when it is not here."""
    source = locate(spec, revision=revision)
    facts = _facts(source, read_profile(source.folder, source.name))
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **facts}, indent=2))
        return
    parameters = {"parameters_m": "parameters"}
    print_facts(
        {
            parameters.get(name, name): (f"{v} M" if v else "unknown") if name in parameters else v
            for name, v in facts.items()
        }
    )


@command.command("pull", short_help="Download a model of the hub for use offline.")
@click.argument("spec", metavar="MODEL")
@click.option("--revision", help="Branch, tag or commit.")
def pull(spec: str, *, revision: str | None) -> None:
    """Download MODEL, a name of the Hugging Face hub, for use offline, and check that it can be scored."""
    source = locate(spec, revision=revision)
    profile = read_profile(source.folder, source.name)
    click.echo(f"{spec}: ready ({profile.family.name}, {profile.max_length} tokens), in {source.folder}")


@command.command("rm")
@click.argument("spec", metavar="MODEL")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(spec: str, *, yes: bool) -> None:
    """Remove MODEL, a name of the Hugging Face hub, from the cache on this machine."""
    if spec == BUNDLED:
        raise UsageError(f"{BUNDLED!r} is part of crossrank and cannot be removed")
    cached = hub.cached()
    if spec not in cached:
        raise ModelNotFoundError(
            f"{spec!r} is not in the cache. In it: {', '.join(sorted(cached)) or 'nothing'}. {suggestion(spec)}"
        )
    question = f"Remove {spec} ({cached[spec].bytes / 1e6:,.0f} MB) from {cached[spec].folder}?"
    if not yes and not _confirmed(question):
        click.echo(f"{spec}: kept")
        return
    hub.remove(spec)
    click.echo(f"{spec}: removed")


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as exc:
        if isinstance(exc.__context__, EOFError):
            raise UsageError("There was no answer to the question; give --yes to remove without one.") from None
        raise


def _row(model: KnownModel) -> dict[str, Any]:
    verified = golden(model.name)
    return {
        **{field: getattr(model, field) for field in KnownModel.__slots__},
        "engines": model.engines,
        "verified": None if verified is None else verified.date,
        "on_demand": model.on_demand,
    }


def _facts(source: Source, profile: ModelProfile) -> dict[str, Any]:
    parameters = _parameters_m(profile)
    known = next((model for model in KNOWN if model.name == source.name), None)
    return {
        "name": source.name,
        "folder": str(source.folder),
        "family": profile.family.name,
        "parameters_m": None if parameters is None else round(parameters, 1),
        "layers": profile.layers,
        "hidden": profile.hidden,
        "heads": profile.heads,
        "max_length": profile.max_length,
        "score_activation": profile.score_activation,
        **({"exits": f"{profile.exits[0]} to {profile.exits[-1]}"} if profile.exits else {}),
        **({"unverified": profile.unverified} if profile.unverified else {}),
        **({"licence": known.licence, "languages": known.languages} if known else {}),
    }


def _parameters_m(profile: ModelProfile) -> float | None:
    if profile.family.foreign:  # only transformers knows
        return None
    from math import prod

    from crossrank.checkpoint.tensors import tensor_table

    return sum(prod(shape) for _, _, shape in tensor_table(profile)) / 1e6
