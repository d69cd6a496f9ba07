"""Kinds of values that several subcommands take. It knows their form; not what becomes of them."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)


def names(given: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in given.split(",") if name.strip()]
