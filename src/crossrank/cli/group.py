"""The `crossrank` command itself: the list of subcommands. Each is imported only when it is run or asked for help."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module

import click

from crossrank import __version__

COMMANDS: Mapping[str, tuple[str, str]] = {
    "rank": ("crossrank.cli.rank", "Rank documents by relevance to a query."),
    "search": ("crossrank.cli.search", "Search a corpus: retrieve many passages, rerank them to few."),
    "serve": ("crossrank.cli.serve", "Serve models over HTTP to any client of a rerank API."),
    "explain": ("crossrank.cli.explain", "Show which parts of a document make its score."),
    "eval": ("crossrank.cli.eval", "Measure how well models rerank a test collection."),
    "calibrate": ("crossrank.cli.calibrate", "Turn a model's scores into probabilities, from labelled pairs."),
    "bench": ("crossrank.cli.bench", "Measure how fast models are on this machine, and what that costs."),
    "models": ("crossrank.cli.models", "List, choose, compare, download and remove models."),
    "train": ("crossrank.cli.train", "Train a reranker on your own data."),
    "rank-dataset": ("crossrank.cli.rank_dataset", "Rank the candidates of many queries on a Ray cluster."),
    "export": ("crossrank.cli.export", "Write a model as ONNX, checked against its own scores."),
    "convert": ("crossrank.cli.convert", "Turn old .bin weights into safetensors, without running their code."),
    "doctor": ("crossrank.cli.doctor", "Show what this machine has and which path the engine would take."),
}
EXAMPLES = """\b
Examples:
  crossrank rank "who created python" docs.txt
  crossrank rank --help
"""


class LazyGroup(click.Group):
    """Subcommands whose module is imported only when they are run: start-up time is part of an answer."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order that help shows."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, imported now."""
        if cmd_name in COMMANDS:
            command: click.Command = import_module(COMMANDS[cmd_name][0]).command
            return command
        if cmd_name.startswith("-") or ctx.resilient_parsing:
            return None
        close = get_close_matches(cmd_name, COMMANDS, n=1)
        return ctx.fail(f"No such command {cmd_name!r}. " + (f"Did you mean {close[0]!r}?" if close else ""))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crossrank")
def cli() -> None:
    """Rank documents by how well they answer a query, with a cross-encoder on this machine."""
