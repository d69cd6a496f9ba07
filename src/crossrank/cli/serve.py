"""`crossrank serve`: rerank models behind one HTTP port, in every dialect that clients speak."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from crossrank.errors import UsageError
from crossrank.opening import open_ranker
from crossrank.server.settings import flag, read_settings, table, variable

CONFIG = "CROSSRANK_CONFIG"
EXAMPLES = """\b
Examples:
  crossrank serve
  crossrank serve --model BAAI/bge-reranker-base --port 9000
  CROSSRANK_API_KEY=secret crossrank serve --host 0.0.0.0 --workers 2
"""


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with a flag for each setting, in the table's order."""
    for item in reversed(table()):
        kind, meaning = item.metadata["kind"], item.metadata["meaning"]
        shown = f" [{variable(item.name)}" + ("" if item.default in (None, (), "") else f"; {item.default}") + "]"
        metavar = {"count": "N", "copies": "N|auto", "seconds": "SECONDS", "list": "A"}.get(kind, "TEXT")
        names = f"{flag(item.name)}/--no-{flag(item.name)[2:]}" if kind == "flag" and item.default else flag(item.name)
        options: dict[str, Any] = {"is_flag": True} if kind == "flag" else {"metavar": metavar, "type": str}
        if kind == "list":
            options["multiple"] = True
        short = {"model": ["-m"], "port": ["-p"]}.get(item.name, [])
        command = click.option(*short, names, item.name, default=None, help=meaning + shown, **options)(command)
    return command


@click.command("serve", epilog=EXAMPLES)
@click.option("--config", metavar="FILE", envvar=CONFIG, help=f"Settings in TOML, named as the flags are. [{CONFIG}]")
@click.option("--ray", is_flag=True, help="Serve on Ray: --workers replicas, started on all nodes (docs/scale.md).")
@click.option("--address", metavar="ADDRESS", help="With --ray: host:port of the cluster's head; auto; local.")
@click.option("--workers-max", type=click.IntRange(1), metavar="N", help="With --ray: up to N replicas as calls wait.")
@_with_settings
def command(config: str | None, *, ray: bool, address: str | None, workers_max: int | None, **given: Any) -> int:
    """Serve rerank models over HTTP: Cohere's, Voyage's, Jina's, TEI's, vLLM's and other clients need only the address.

    Each setting is a flag, else an environment variable (in brackets), else a line of the TOML file, else its default.
    Keys are in CROSSRANK_API_KEY, with commas between, or in a file. Without any, only this machine is served.

    SIGTERM ends it once the calls in progress are answered; SIGHUP reads keys and opens models anew.
    """
    flags = {name: value for name, value in given.items() if value not in (None, ())}
    settings = read_settings(flags, os.environ, config)
    from crossrank.server.serve import check_installed, serve

    if ray:
        check_installed()
        from crossrank.cluster.serve import serve_on_ray

        return serve_on_ray(settings, address=address, workers_max=workers_max, told=_tell)
    if address is not None or workers_max is not None:
        raise UsageError("--address and --workers-max are about a cluster of Ray; give --ray, too")
    return serve(settings, partial(open_ranker, settings), told=_tell)


def _tell(address: str) -> None:
    click.echo(f"crossrank serves at {address} (stop with Ctrl-C)", err=True)
