"""The flags that several commands have for a model that is there more than once: on GPUs, or on groups of cores."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def sharing_options(command: F) -> F:
    """--devices and --replicas, as `Reranker` takes them; None where they are not given."""
    replicas = click.option(
        "--replicas",
        metavar="N|auto",
        callback=_count,
        help="Share the work among N copies of the model, each on a GPU or on cores of its own; auto is one a GPU, or "
        "one a NUMA domain.",
    )
    devices = click.option(
        "--devices", metavar="A,B", callback=_names, help="Share the work among these GPUs, such as cuda:0,cuda:1."
    )
    return devices(replicas(command))


def _count(_: click.Context, __: click.Parameter, given: str | None) -> int | str | None:
    if given in (None, "auto"):
        return given
    try:
        return int(given)
    except ValueError:
        raise click.BadParameter(f"{given!r} is neither a whole number nor auto.") from None


def _names(_: click.Context, __: click.Parameter, given: str | None) -> list[str] | None:
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]
