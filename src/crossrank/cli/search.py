"""`crossrank search QUERY CORPUS`: retrieve many from an index on disk, which is made on the way, and rerank to few."""

import sys
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

import click

from crossrank.arguments import check_query
from crossrank.cli.documents import FORMATS, STDIN, read_documents
from crossrank.cli.facts import say
from crossrank.cli.options import names
from crossrank.cli.progress import waiting
from crossrank.cli.search_show import print_search_json, print_search_table, print_search_tsv
from crossrank.composition.stage import Stage
from crossrank.errors import InputFileError
from crossrank.machine import cache_folder
from crossrank.reranker import Reranker
from crossrank.retrieve import Bm25Index, Fused, Passage, Pipeline, Retriever
from crossrank.retrieve.build import build, manifest_of

IDS = ("id", "_id")
BAR = "{desc} {n_fmt}/{total_fmt} passages |{bar}| {rate_noinv_fmt}, {remaining} left"
EXAMPLES = """\b
Examples:
  crossrank search "who created python" corpus.jsonl
  crossrank search "who created python" corpus.jsonl --fields title,text --top-k 5 --json
  crossrank search "who created python" corpus.jsonl --embedding-model sentence-transformers/all-MiniLM-L6-v2
"""


@click.command("search", epilog=EXAMPLES)
@click.argument("query")
@click.argument("corpus", metavar="CORPUS")
@click.option(
    "-k", "--top-k", metavar="N", type=click.IntRange(min=1), default=10, show_default=True, help="Show N hits."
)
@click.option(
    "-n",
    "--candidates",
    metavar="N",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Passages that are retrieved and reranked.",
)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="What reranks: a folder, a name, vendor:MODEL or a URL; else the bundled model.",
)
@click.option("--embedding-model", metavar="NAME", help="Retrieve by this sentence-transformers model's vectors too.")
@click.option(
    "--first-share",
    metavar="X",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="How much the first stage's score counts beside the model's, 0 to 1.",
)
@click.option(
    "--fields", metavar="A,B", type=names, help="Fields of objects and CSV rows that are searched, in this order."
)
@click.option(
    "--format", "file_format", type=click.Choice(FORMATS), help="Format of CORPUS, if its name does not tell."
)
@click.option(
    "--index", metavar="FOLDER", type=click.Path(path_type=Path), help="Where the index is; else in the cache folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--table", "as_table", is_flag=True, help="Print the table even if the output is no terminal.")
def command(
    query: str,
    corpus: str,
    *,
    top_k: int,
    candidates: int,
    model: str | None,
    embedding_model: str | None,
    first_share: float,
    fields: list[str] | None,
    file_format: str | None,
    index: Path | None,
    as_json: bool,
    as_table: bool,
) -> None:
    """Find passages of CORPUS for QUERY: BM25 retrieves many, the model reranks them to few.

    CORPUS is a file as crossrank rank takes it. Its index is made the first time, and again where the file has changed;
    an interrupted command goes on from where it was. Each hit says where it came from and how far it moved.
    """
    if as_json and as_table:
        raise click.UsageError("--json and --table exclude each other.")
    check_query(query, "QUERY")
    retriever = _opened(corpus, file_format, fields, index, embedding_model)
    with waiting("Opening the model"):
        reranker = Reranker(model, cache=None)
    with reranker, waiting(f"Ranking {candidates:,} passages"):
        stages = [Stage(reranker, top_k)]
        result = Pipeline(retriever, stages, candidates=candidates, first_share=first_share).search(query)
    if as_json:
        print_search_json(result)
    elif as_table or sys.stdout.isatty():
        print_search_table(result)
    else:
        print_search_tsv(result)


def _opened(
    corpus: str, file_format: str | None, fields: list[str] | None, index: Path | None, embedding_model: str | None
) -> Retriever:
    """The index of the corpus as it is now."""
    file = Path(corpus)
    if corpus == STDIN or not file.is_file():
        problem = "a folder" if file.is_dir() else "standard input" if corpus == STDIN else "no such file"
        raise InputFileError(f"{corpus}: {problem}. search needs a file of documents, whose index it keeps.")
    state = file.stat()
    stamp = {
        "corpus": str(file.resolve()),
        "size": state.st_size,
        "changed": state.st_mtime_ns,
        "fields": fields,
        "format": file_format,
    }
    folder = index or _default_folder(stamp)
    manifest, passages = manifest_of(folder), list[Passage]()
    if manifest is None or manifest["stamp"] != stamp:
        with waiting(f"Reading {file.name}"):
            passages = _read(corpus, file_format, fields)
        _index(folder, passages, stamp)
    bm25 = Bm25Index(folder)
    if embedding_model is None:
        return bm25
    from crossrank.retrieve.lance import LanceVectors, embedder, stored_passage, vector_table

    passages = passages or _read(corpus, file_format, fields)
    with waiting(f"Opening {embedding_model}"):
        embed = embedder(embedding_model)
    name = blake2b(embedding_model.encode(), digest_size=8).hexdigest()
    with _bar("Embedding", len(passages)) as bar:
        table = vector_table(folder / "vectors", name, passages, embed, progress=bar.update)
    return Fused([bm25, LanceVectors(table, embed, document=stored_passage)])


def _index(folder: Path, passages: list[Passage], stamp: dict[str, Any]) -> None:
    """With a bar over the portions, then a sign of life while the index is put together from them."""
    left = len(passages)
    try:
        with ExitStack() as shown:
            bar = shown.enter_context(_bar("Indexing", left))

            def indexed(count: int) -> None:
                nonlocal left
                left -= count
                bar.update(count)
                if not left:
                    bar.close()
                    shown.enter_context(waiting("Putting the index together"))

            build(folder, passages, stamp=stamp, progress=indexed)
    except KeyboardInterrupt:
        say(f"What was indexed is kept in {folder}; the same command goes on from there.", err=True)
        raise


def _read(corpus: str, file_format: str | None, fields: list[str] | None) -> list[Passage]:
    """The documents, whose ids differ where they have some."""
    passages = [Passage(line.document, line.text, line.line) for line in read_documents(corpus, file_format, fields)]
    seen: dict[Any, int] = {}
    for passage in passages:
        document = passage.document
        name = next((name for name in IDS if name in document), None) if isinstance(document, dict) else None
        if name is None or not isinstance(document, dict) or not isinstance(document[name], str | int):
            continue
        if (first := seen.setdefault(document[name], passage.line)) != passage.line:
            raise InputFileError(
                f"{corpus}: lines {first} and {passage.line} have the same {name}, {document[name]!r}. "
                "Ids must differ: remove one of the two, or rename the field."
            )
    return passages


def _default_folder(stamp: dict[str, Any]) -> Path:
    caches = cache_folder()
    if caches is None:
        raise InputFileError("There is no folder for caches on this machine; say with --index where the index is.")
    what = repr((stamp["corpus"], stamp["fields"], stamp["format"])).encode()
    return caches / "search" / blake2b(what, digest_size=12).hexdigest()


def _bar(title: str, total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc=title, unit=" passages", delay=1.0, disable=None, leave=False, bar_format=BAR)
