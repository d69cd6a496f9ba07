"""`crossrank bench`: how fast rankers are on this machine, what they take to begin, and what that costs."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from crossrank.bench.options import Options
from crossrank.bench.plot import check_plot, write_plot
from crossrank.bench.report import (
    EXPENDABLE,
    QUOTED_EXPENDABLE,
    as_markdown,
    failures,
    measured_table,
    method,
    quoted_table,
    result_of,
)
from crossrank.bench.result import Result, check_place, write_result, write_text
from crossrank.bench.run import Bench
from crossrank.bench.shapes import SHAPES
from crossrank.bench.subjects import ALL, Wanted, groups
from crossrank.bench.texts import WORDS, Texts, built, of_folder, own
from crossrank.checkpoint.source import BUNDLED
from crossrank.cli.bench_progress import CasesShown
from crossrank.cli.documents import read_documents
from crossrank.cli.facts import print_columns, say
from crossrank.cli.options import FILE, allow_unverified
from crossrank.cli.printable import printable
from crossrank.cli.progress import waiting
from crossrank.cli.spending import Spending, spending_options
from crossrank.engine.options import CHOICES
from crossrank.errors import CrossrankError

NO_SHAPES = "none"
COST_MAX_USD = 0.25  # of remote models, unless --max-cost says otherwise
EXAMPLES = """\b
Examples:
  crossrank bench
  crossrank bench --model ./mine --shapes none --documents 50 --precision all
  crossrank bench --model BAAI/bge-reranker-base --device cpu --device cuda --plot bench.png
  crossrank bench --data my-collection --price-hour 0.085 --markdown bench.md --out bench.json
  crossrank bench --model cohere:rerank-v4.0-fast --shapes none --max-cost 0.10
"""


def _counts(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 100_000 for part in parts):
        raise click.BadParameter(f"{text!r} is no list of whole numbers from 1 to 100000, such as 20,100,1000.")
    return tuple(int(part) for part in parts)


def _names(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    return () if text == NO_SHAPES else tuple(part.strip() for part in text.split(","))


@dataclass(frozen=True, slots=True)
class Places:
    """Files that were asked for."""

    out: Path | None
    markdown: Path | None
    plot: Path | None

    def check(self) -> None:
        """Raise where one of them could not be written."""
        for file in filter(None, (self.out, self.markdown, self.plot)):
            check_place(file)
        if self.plot is not None:
            check_plot(self.plot)

    def write(self, result: Result) -> None:
        """Write them, and say so: before anything is printed, which may fail too."""
        written = []
        if self.out is not None:
            write_result(result, self.out)
            written.append(self.out)
        if self.markdown is not None:
            write_text(self.markdown, as_markdown(result))
            written.append(self.markdown)
        if self.plot is not None and measured_table(result) is not None:
            write_plot(result, self.plot)
            written.append(self.plot)
        if written:
            click.echo(f"Written: {', '.join(map(str, written))}", err=True)


@click.command("bench", epilog=EXAMPLES)
@click.option(
    "-m",
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    help="A folder, a name, vendor:MODEL or a URL; again for more. Else the bundled.",
)
@click.option(
    "--shapes",
    metavar="A,B",
    default=",".join(SHAPES),
    show_default=True,
    callback=_names,
    help="Known models too, by their shape, with random weights where theirs are not here; none for none.",
)
@click.option(
    "--documents",
    "counts",
    metavar="N,N",
    default="20,100,1000",
    show_default=True,
    callback=_counts,
    help="Of a query; each is measured.",
)
@click.option(
    "--device", "devices", metavar="NAME", multiple=True, help="auto, cpu, cuda, cuda:N, mps; again for more."
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice([*CHOICES["precision"], ALL]),
    help="Again for more; all: what the processor has. Else auto.",
)
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="CPU threads; else all usable cores.")
@click.option("--peers/--no-peers", default=True, help="Also other libraries that are installed here (the default).")
@click.option("--words", metavar="N", type=click.IntRange(1, 100_000), help=f"Of a built passage; else {WORDS}.")
@click.option("--data", metavar="FOLDER", type=FILE, help="Texts of a set in BEIR layout, instead of built ones.")
@click.option("--queries", metavar="FILE", help="Your queries (.txt, .jsonl, .json, .csv), with --corpus.")
@click.option("--corpus", metavar="FILE", help="Your documents, with --queries.")
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    help="For the repeats of a case: a model, as one library runs it, with a number of documents.",
)
@click.option(
    "--repeats", metavar="N", type=click.IntRange(1, 1000), default=25, show_default=True, help="Of a case, at most."
)
@click.option(
    "--cold-starts",
    metavar="N",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="New processes, of which the median counts.",
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Seconds for a single call; who takes longer is ended.",
)
@click.option(
    "--price-hour",
    metavar="DOLLARS",
    type=click.FloatRange(min=0),
    help="Of this machine; else its costs are left out.",
)
@spending_options
@allow_unverified
@click.option("--out", metavar="FILE", type=FILE, help="Keep the figures there, as JSON.")
@click.option("--markdown", metavar="FILE", type=FILE, help="Write the tables there.")
@click.option("--plot", metavar="FILE", type=FILE, help="Draw milliseconds over documents there (.png, .svg, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    *,
    models: tuple[str, ...],
    shapes: tuple[str, ...],
    counts: tuple[int, ...],
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    threads: int | None,
    peers: bool,
    words: int | None,
    data: Path | None,
    queries: str | None,
    corpus: str | None,
    seconds: float,
    repeats: int,
    cold_starts: int,
    timeout: float,
    price_hour: float | None,
    max_cost: float | None,
    price: str | None,
    allow_unverified: bool,
    out: Path | None,
    markdown: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure models on this machine, with several numbers of documents a query.

    How long a query takes (median and 95th percentile), pairs and tokens a second, memory, the cold start of a new
    process, and what 1,000 queries cost. Without --model: the bundled one. The table also quotes what others have
    published of APIs; they are asked, and paid, only where --model names them.

    Ctrl-C ends it and shows what was measured so far.
    """
    places = Places(out, markdown, plot)
    places.check()  # before anything that takes minutes
    wanted_models = models or (BUNDLED,)
    spending = Spending.of(wanted_models, max_cost, price)
    wanted = Wanted(
        models=wanted_models,
        shapes=shapes,
        devices=devices or ("auto",),
        precisions=precisions or ("auto",),
        peers=peers,
        threads=threads,
        allow_unverified=allow_unverified,
        price=None if spending.price is None else asdict(spending.price),
    )
    options = Options(
        documents=counts,
        case_s_max=seconds,
        repeats_max=repeats,
        cold_starts=cold_starts,
        timeout_s=timeout,
        cost_max_usd=COST_MAX_USD if max_cost is None else max_cost,
    )
    with waiting("Reading texts"):
        texts = _texts(data, queries, corpus, words)
    interrupted = False
    shown = CasesShown()
    bench = Bench(texts, options, shown)
    found = groups(wanted)
    try:
        with shown:
            bench.run(found)
    except KeyboardInterrupt:
        interrupted = True  # what was measured is worth as much as if it had been all
    result = result_of(bench, price_hour=price_hour, threads=threads)
    try:
        places.write(result)
    finally:
        _show(result, as_json=as_json)
    if interrupted:
        raise KeyboardInterrupt
    if measured_table(result) is None:
        raise CrossrankError("nothing could be measured; the reasons are above")


def _texts(data: Path | None, queries: str | None, corpus: str | None, words: int | None) -> Texts:
    """The built ones, or the user's.

    Raises:
        click.UsageError: options that exclude each other, or one without the other.
    """
    if (queries is None) != (corpus is None):
        raise click.UsageError("--queries and --corpus belong together.")
    if sum((data is not None, queries is not None, words is not None)) > 1:
        raise click.UsageError("--data, --queries with --corpus, and --words exclude each other.")
    if data is not None:
        return of_folder(data)
    if queries is None or corpus is None:
        return built(words or WORDS)
    asked, read = ([line.text for line in read_documents(file)] for file in (queries, corpus))
    return own(Path(corpus).name, asked, read)


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(result.as_json())
        return
    if (table := measured_table(result)) is not None:
        print_columns(table.headings, table.rows, expendable=EXPENDABLE)
    for line in (*failures(result), *result.notes):
        say(printable(line))
    quoted = quoted_table(result)
    click.echo()
    print_columns(quoted.headings, quoted.rows, expendable=QUOTED_EXPENDABLE)
    say(f"\n{printable(method(result))}")
