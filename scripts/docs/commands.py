"""The pages of the command line, from the commands themselves: what `--help` says, and nothing else."""

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from crossrank.cli.group import cli

NAME = "crossrank"


def command_pages() -> dict[str, str]:
    """Markdown by file name: one page for the command itself, and one a subcommand, with its own subcommands on it."""
    top = click.Context(cli, info_name=NAME)
    pages = {"index.md": "\n".join([*_front(top)])}
    for name in cli.list_commands(top):
        pages[f"{name}.md"] = "\n".join(_command(_context(top, name), level=1))
    return pages


def _context(parent: click.Context, name: str) -> click.Context:
    group = parent.command
    assert isinstance(group, click.Group), "bug: only groups have subcommands"
    command = group.get_command(parent, name)
    assert command is not None, f"bug: {name} is listed and is not there"
    return click.Context(command, info_name=name, parent=parent)


def _front(top: click.Context) -> Iterator[str]:
    yield f"# {NAME}\n"
    yield from _texts(top.command.help)
    yield "```text"
    yield from top.command.get_help(top).splitlines()
    yield "```\n"
    for name in cli.list_commands(top):
        yield f"- [`{NAME} {name}`]({name}.md)"
    yield "\nExit codes: 0 done, 1 our failure, 2 the caller's mistake (with what to do, on stderr), 130 interrupted."


def _command(ctx: click.Context, *, level: int) -> Iterator[str]:
    """A command's usage, text, options and examples; then its subcommands."""
    command = ctx.command
    yield f"{'#' * level} {ctx.command_path}\n"
    yield "```text"
    yield " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield "```\n"
    yield from _texts(command.help)
    yield from _options(ctx)
    yield from _texts(command.epilog)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from _command(_context(ctx, name), level=level + 1)


def _texts(text: str | None) -> Iterator[str]:
    r"""Paragraphs as they are; those marked with \b, which keep their lines, as code below their first line."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text or "")):
        if not paragraph.startswith("\b"):
            yield f"{_plain(paragraph)}\n"
            continue
        first, *rest = paragraph.removeprefix("\b").strip("\n").splitlines()
        title = first if first.endswith(":") else ""
        yield from [f"{title}\n"] if title else []
        yield "```text"
        yield from (line.removeprefix("  ") for line in (rest if title else [first, *rest]))
        yield "```\n"


def _options(ctx: click.Context) -> Iterator[str]:
    """Each option with what it does, as `--help` has it."""
    for option in ctx.command.get_params(ctx):
        record = option.get_help_record(ctx)
        if record is not None and record[1]:
            yield f"`{record[0]}`\n:   {_plain(record[1])}\n"


def _plain(text: str) -> str:
    """As text, whatever Markdown would make of it."""
    return re.sub(r"([*_`\\])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")
