"""Options that several subcommands have, and kinds of values. It knows their form; not what becomes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def names(given: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in given.split(",") if name.strip()]


def copies(given: str) -> int | str:
    """A whole number, or "auto"."""
    if given == "auto":
        return given
    try:
        return int(given)
    except ValueError:
        raise click.BadParameter(f"{given!r} is neither a whole number nor auto.") from None


allow_unverified = click.option(
    "--allow-unverified",
    is_flag=True,
    help="Open models too whose scores were never compared with those of their authors' code.",
)


def sharing_options(command: F) -> F:
    """--devices and --replicas, for a model that is there more than once, as `Reranker` takes them; else None."""
    replicas = click.option(
        "--replicas",
        metavar="N|auto",
        type=copies,
        help="Share the work among N copies of the model, each on a GPU or on cores of its own; auto is one a GPU, or "
        "one a NUMA domain.",
    )
    devices = click.option(
        "--devices", metavar="A,B", type=names, help="Share the work among these GPUs, such as cuda:0,cuda:1."
    )
    return devices(replicas(command))
