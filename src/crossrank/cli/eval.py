"""`crossrank eval DATA`: how good rankers are on a test collection, against its first stage."""

import sys
from pathlib import Path

import click

from crossrank.cli.eval_inputs import Local, Stage, further_runs, identity, labels, measure_names, open_models
from crossrank.cli.eval_progress import QueriesShown
from crossrank.cli.eval_table import print_evaluation
from crossrank.cli.options import FILE, allow_unverified
from crossrank.cli.progress import waiting
from crossrank.cli.spending import Spending, spending_options
from crossrank.collection import read_collection
from crossrank.engine.options import CHOICES
from crossrank.evaluate.candidates import DEPTH
from crossrank.evaluate.evaluate import evaluate
from crossrank.evaluate.export import as_json, write_files
from crossrank.evaluate.folder import make_folder
from crossrank.evaluate.labels import collection_of, read_labels
from crossrank.evaluate.measure import EXAMPLES as MEASURE_EXAMPLES
from crossrank.evaluate.measure import MEASURES, parse_measures
from crossrank.evaluate.plot import write_plots
from crossrank.evaluate.report import as_markdown

EXAMPLES = """\b
Examples:
  crossrank eval labels.csv
  crossrank eval scifact
  crossrank eval scifact --model ./mine --model cross-encoder/ms-marco-MiniLM-L6-v2 --out results --plots
  crossrank eval --queries q.jsonl --corpus c.jsonl --qrels qrels.tsv --run bm25.trec --measures nDCG@10,MAP
"""


@click.command("eval", epilog=EXAMPLES)
@click.argument("folder", metavar="[DATA]", required=False, type=FILE)
@click.option(
    "-m",
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    help="A folder, a name, vendor:MODEL or a URL; again for more. Else the bundled.",
)
@click.option("--run", "run_file", metavar="FILE", type=FILE, help="The first stage: rerank the documents of this run.")
@click.option("--pool", is_flag=True, help="The first stage: each query's judged documents.")
@click.option("--bm25", is_flag=True, help="The first stage: what BM25 finds in the corpus.")
@click.option(
    "--baseline-run", "baselines", metavar="FILE", multiple=True, type=FILE, help="A run for the table; again for more."
)
@click.option("--split", metavar="NAME", default="test", show_default=True, help="Judgements: DATA/qrels/NAME.tsv.")
@click.option("--queries", metavar="FILE", type=FILE, help="JSON lines with _id and text, instead of DATA's.")
@click.option(
    "--corpus", metavar="FILE", type=FILE, help="JSON lines with _id, text, perhaps title, instead of DATA's."
)
@click.option("--qrels", metavar="FILE", type=FILE, help="Judgements (TREC or BEIR), instead of DATA's.")
@click.option(
    "--depth", metavar="N", type=click.IntRange(min=1), help=f"Candidates of a query; else {DEPTH}, or all of a pool."
)
@click.option(
    "--measures", metavar="A,B", default=",".join(MEASURES), show_default=True, help=f"Such as {MEASURE_EXAMPLES}."
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N judged queries.")
@click.option("--max-length", metavar="N", type=click.IntRange(min=8), help="Tokens of query and document together.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads; else all usable cores.")
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    help="auto (the default): a GPU if torch can use one, else the CPU; cpu, cuda, cuda:N, mps.",
)
@click.option(
    "--precision",
    type=click.Choice(CHOICES["precision"]),
    default="auto",
    help="What models compute in; auto (the default): the fastest that agrees with fp32, see crossrank doctor.",
)
@spending_options
@allow_unverified
@click.option("--out", metavar="DIR", type=FILE, help="Keep results there: report, JSON, runs; continue from there.")
@click.option("--plots", is_flag=True, help="Draw differences by query, and quality against time, into --out.")
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON document.")
@click.option("--markdown", "as_markdown_", is_flag=True, help="Print Markdown.")
def command(
    folder: Path | None,
    *,
    models: tuple[str, ...],
    run_file: Path | None,
    pool: bool,
    bm25: bool,
    baselines: tuple[Path, ...],
    split: str,
    queries: Path | None,
    corpus: Path | None,
    qrels: Path | None,
    depth: int | None,
    measures: str,
    limit: int | None,
    max_length: int | None,
    threads: int | None,
    device: str,
    precision: str,
    max_cost: float | None,
    price: str | None,
    allow_unverified: bool,
    out: Path | None,
    plots: bool,
    as_json_: bool,
    as_markdown_: bool,
) -> None:
    """Measure how well models rerank the candidates of a first stage, for queries with judged documents.

    DATA is a folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, perhaps runs/*.trec; or a file of
    labels as crossrank calibrate takes it (.csv, .tsv, .jsonl: query, document, label). Without DATA, give --queries,
    --corpus and --qrels.

    The first stage is that of --run, --pool or --bm25; else DATA's only run, or its BM25 run; else the judged
    documents, if most queries have relevant ones and others; else BM25.

    With --out, a command that was interrupted goes on where it stopped when it is given again; what a remote model
    has ranked is not asked, and not paid for, a second time.
    """
    if as_json_ and as_markdown_:
        raise click.UsageError("--json and --markdown exclude each other.")
    if (run_file is not None) + pool + bm25 > 1:
        raise click.UsageError("--run, --pool and --bm25 exclude each other: there is one first stage.")
    if plots and out is None:
        raise click.UsageError("--plots needs --out DIR, where the pictures go.")
    if folder is None and (queries is None or corpus is None or qrels is None):
        raise click.UsageError("Give DATA, a folder or a file of labels, or all of --queries, --corpus and --qrels.")
    labelled = folder is not None and folder.is_file()
    if labelled and any((queries, corpus, qrels, run_file, baselines)):
        raise click.UsageError(
            "--queries, --corpus, --qrels, --run and --baseline-run go by ids, of which a file of labels has none."
        )
    local = Local(max_length, threads, device, precision, allow_unverified)
    local.check(models)
    spending = Spending.of(models, max_cost, price)
    names = measure_names(measures)
    parse_measures(names)  # before anything that takes time
    if out is not None:
        make_folder(out)
    with waiting("Reading the collection"):
        if labelled and folder is not None:
            collection, folder = collection_of(read_labels(folder)), None
        else:
            collection = read_collection(folder, split=split, queries=queries, corpus=corpus, qrels=qrels)
        stage = Stage(run_file, pool, bm25).open(collection, folder, split, depth)
        runs = further_runs(baselines, split, [stage.name])
    named = labels(models, [stage.name, *runs])
    showing = QueriesShown(len(named), out, remedy="--out DIR would have kept them.")
    with showing as shown, open_models(named, local, spending) as opened:
        identities = {label: identity(model, max_length, opened[label]) for label, model in named.items()}
        shown.begin()
        evaluation = evaluate(
            opened,
            collection,
            first_stage=stage,
            runs=runs,
            measures=names,
            queries_max=limit,
            folder=out,
            identities=identities if out else {},
            on_query=shown,
        )
    written = [] if out is None else [*write_files(evaluation, out), *(write_plots(evaluation, out) if plots else [])]
    if as_json_ or as_markdown_:
        sys.stdout.write(as_json(evaluation) if as_json_ else as_markdown(evaluation))
    else:
        print_evaluation(evaluation)
    if written:
        click.echo(f"Written: {', '.join(map(str, written))}", err=True)
