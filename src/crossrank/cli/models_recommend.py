"""`crossrank models --recommend`: which reranker fits, by published quality and by latency measured on this machine."""

import json
import math
from dataclasses import replace
from typing import Any

import click

from crossrank.choice.kept import here
from crossrank.choice.needs import Needs
from crossrank.choice.recommend import BUSY, Choice, Recommendation, recommend
from crossrank.choice.timing import Timings
from crossrank.cli.facts import print_columns, say
from crossrank.cli.progress import waiting
from crossrank.engine.open import available_precisions
from crossrank.engine.options import CHOICES, OpenConfig
from crossrank.errors import UsageError

SCHEMA_VERSION = 1
LATENCY_MS = 1_000.0  # without --latency-ms: for how long somebody at a screen waits for an answer
EXAMPLES = """\b
Examples:
  crossrank models --recommend --latency-ms 50 --documents 100 --language de --cpu
  crossrank models --recommend --latency-ms 500 --local --commercial --json
"""
HEADINGS = (
    "#",
    "model",
    "quality",
    "ms",
    "found by",
    "fits up to",
    "languages",
    "tokens",
    "objects",
    "licence",
    "texts",
)
EXPENDABLE = ("objects", "licence", "tokens", "languages", "texts", "fits up to")


@click.command("recommend", epilog=EXAMPLES, short_help="Which models fit a latency, a language, a licence.")
@click.option(
    "--latency-ms",
    metavar="N",
    type=click.FloatRange(min=0, min_open=True),
    default=LATENCY_MS,
    show_default=f"{LATENCY_MS:g}",
    help="For a query and all its documents, at most; inf for no limit.",
)
@click.option(
    "--documents",
    metavar="N",
    type=click.IntRange(min=1, max=10_000),
    default=100,
    show_default=True,
    help="Of a query.",
)
@click.option(
    "--document-tokens",
    "tokens",
    metavar="N",
    type=click.IntRange(min=8, max=8_192),
    default=128,
    show_default=True,
    help="Of each document; about three quarters as many English words.",
)
@click.option("--language", metavar="CODE", help="Of queries and documents: en (the default), de, zh ...")
@click.option("--cpu", is_flag=True, help="On this machine's CPU, also where there is a GPU.")
@click.option(
    "--precision",
    type=click.Choice(CHOICES["precision"]),
    default="auto",
    show_default=True,
    help="What models compute in.",
)
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads; else all usable cores.")
@click.option("--local", is_flag=True, help="Texts must stay on this machine.")
@click.option("--commercial", is_flag=True, help="The licence must allow commercial use.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=1), help="Tokens that must be read at once.")
@click.option("--structured", is_flag=True, help="Something must be published about objects with fields.")
@click.option("--again", is_flag=True, help="Measure anew what was measured here before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    *,
    latency_ms: float,
    documents: int,
    tokens: int,
    language: str | None,
    cpu: bool,
    precision: str,
    threads: int | None,
    local: bool,
    commercial: bool,
    max_length: int | None,
    structured: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Rank the known models and the vendors' APIs by what fits: published quality, latency measured here.

    What takes longer than --latency-ms is no answer to a person who waits; the best of it is named below the tables.

    Each shape of model is timed once on this machine, with random weights, and looked up from then on. Nothing is
    downloaded, and no API is asked: their latencies are quoted, where somebody published any.
    """
    limit = None if math.isinf(latency_ms) else latency_ms
    needs = Needs(limit, documents, tokens, language, commercial, local, max_length, structured)
    config = OpenConfig(device="cpu" if cpu else "auto", precision=precision, threads=threads)
    _, precisions = available_precisions()
    if precision != "auto" and cpu and precision not in precisions:
        raise UsageError(f"--precision {precision}: this processor runs {', '.join(precisions)}.")
    kept = here()
    timings = Timings(config, kept, again=again)
    int8 = Timings(replace(config, precision="int8"), kept, again=again)
    with waiting("Timing models on this machine; next time it is known"):
        found = recommend(needs, timings, int8=int8 if "int8" in precisions and precision != "int8" else None)
    if as_json:
        click.echo(json.dumps(as_document(found), indent=2, ensure_ascii=False))
    else:
        print_recommendation(found)


def print_recommendation(found: Recommendation) -> None:
    """A table for each board, what could not be decided, what each figure is, and what to do next."""
    needs = found.needs
    limit = "however long it takes" if needs.latency_ms is None else f"within {needs.latency_ms:,.6g} ms"
    say(f"{needs.documents:,} documents of {needs.tokens:,} tokens, language {needs.language or 'en'}, {limit}")
    for section in found.sections:
        board = section.board
        title = "No published quality on a set of this language" if board is None else f"By {board.name}: {board.what}"
        say(f"\n{title}")
        _table(section.choices)
        if board is not None:
            say(f"Quality is quoted: {board.source}, {board.date}.")
    if not found.sections:
        _print_nothing(found)
    if found.better:
        click.echo()
    for choice in found.better:
        say(f"Better, and too slow: {_named(choice)} {', '.join(choice.obstacles)}{_fewer(choice)}.")
    if found.undecided:
        say("\nPerhaps, as nobody says how long they take: " + ", ".join(map(_named, found.undecided)))
    _print_notes(found)
    if found.excluded:
        say("Left out: " + "; ".join(f"{count} ({reason})" for reason, count in found.excluded) + ".")
    if len(found.sections) > 1:
        say("Figures of different sets cannot be compared: crossrank models --compare A B does, on your queries.")


def _print_nothing(found: Recommendation) -> None:
    if not found.nearest:
        say("\nNothing that is known fits, whatever it takes. Leave out a condition (see below).")
        return
    say("\nNothing that is known fits. The nearest:")
    _table(found.nearest)
    for choice in found.faster:
        say(f"With --precision int8 {choice.offer.name} fits: {choice.latency.ms:,.0f} ms.")
    for choice in found.nearest:
        if choice.documents_max:
            say(f"{choice.offer.name} {', '.join(choice.obstacles)}{_fewer(choice)}.")


def _print_notes(found: Recommendation) -> None:
    shown = [*(c for section in found.sections for c in section.choices), *found.nearest]
    models: dict[tuple[str, str], list[str]] = {}
    for choice in shown:
        models.setdefault((choice.latency.how, choice.latency.note), []).append(choice.offer.name)
    click.echo()
    for (how, note), names in models.items():
        if how == "measured":
            say(f"Measured here, with random weights of the model's shape: {note}.")
        else:
            say(f"{how.capitalize()} ({note}): {', '.join(names)}.")
    if (share := min((choice.latency.share for choice in shown), default=1.0)) < BUSY:
        say(
            f"The machine was busy: a measurement had {share:.0%} of its cores' time. "
            "--again measures anew, better when it is quiet."
        )


def _named(choice: Choice) -> str:
    known = [f"{one.value:g} on {one.board.name}" for one in choice.quality[:1]]
    if choice.latency.ms is not None and choice.latency.how == "quoted":
        known.append(f"{_ms(choice.latency.ms, at_least=choice.latency.at_least)} ms {choice.latency.how}")
    return choice.offer.name + (f" ({', '.join(known)})" if known else "")


def _fewer(choice: Choice) -> str:
    return f"; fits with --documents {choice.documents_max}" if choice.documents_max else ""


def _table(choices: tuple[Choice, ...]) -> None:
    rows = [_cells(place, choice) for place, choice in enumerate(choices, 1)]
    print_columns(HEADINGS, rows, expendable=EXPENDABLE)


def _cells(place: int, choice: Choice) -> tuple[str, ...]:
    offer, latency = choice.offer, choice.latency
    most = "" if choice.documents_max is None else f"{choice.documents_max:,}"
    licence = offer.licence + (" (non-commercial)" if offer.commercial is False else "")
    return (
        str(place),
        offer.name + (" (on demand)" if offer.on_demand else ""),
        f"{choice.quality[0].value:g}" if choice.quality else "unknown",
        "unknown" if latency.ms is None else _ms(latency.ms, at_least=latency.at_least),
        latency.how,
        most,
        offer.languages,
        f"{offer.max_length:,}",
        "documented" if offer.structured else "as text",
        licence,
        "stay here" if offer.local else "go to the vendor",
    )


def _ms(ms: float, *, at_least: bool) -> str:
    return ("≥ " if at_least else "") + (f"{ms:,.0f}" if ms >= 10 else f"{ms:.2g}")


def as_document(found: Recommendation) -> dict[str, Any]:
    """The recommendation as JSON has it."""
    needs = {name: getattr(found.needs, name) for name in type(found.needs).__slots__}
    return {
        "schema_version": SCHEMA_VERSION,
        "needs": needs,
        "sections": [
            {
                "board": None
                if section.board is None
                else {key: getattr(section.board, key) for key in ("name", "what", "source", "date")},
                "choices": [_document(choice) for choice in section.choices],
            }
            for section in found.sections
        ],
        "undecided": [_document(choice) for choice in found.undecided],
        "nearest": [_document(choice) for choice in found.nearest],
        "better_and_too_slow": [_document(choice) for choice in found.better],
        "fits_with_int8": [_document(choice) for choice in found.faster],
        "left_out": dict(found.excluded),
    }


def _document(choice: Choice) -> dict[str, Any]:
    offer, latency = choice.offer, choice.latency
    return {
        "model": offer.name,
        "local": offer.local,
        "languages": offer.languages,
        "licence": offer.licence,
        "commercial": offer.commercial,
        "max_length": offer.max_length,
        "structured": offer.structured or None,
        "engines": offer.engines or None,
        "on_demand": offer.on_demand,
        "quality": [
            {"board": one.board.name, "value": one.value, "source": one.board.source, "date": one.board.date}
            for one in choice.quality
        ],
        "latency": {
            "ms": latency.ms,
            "how": latency.how,
            "note": latency.note,
            "at_least": latency.at_least,
            "share_of_cores": latency.share,
        },
        "obstacles": list(choice.obstacles),
        "documents_max": choice.documents_max,
    }
