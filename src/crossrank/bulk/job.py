"""What a job is of: queries, the candidates of each, and the corpus they stand in, read and checked against each other.

It knows files and ids; not rankers or outputs.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank.bulk.corpus import Corpus
from crossrank.collection import read_run, read_texts
from crossrank.collection.digest import digest_of
from crossrank.collection.texts import text_of_entry
from crossrank.errors import InputFileError
from crossrank.lifetime import Closes

NAMED_MAX = 5  # ids that a message names


@dataclass(frozen=True, slots=True)
class Job(Closes):
    """Queries with candidates, in the order of the file of queries.

    Attributes:
        texts: of the queries, by id, in order.
        candidates: ids of each query's documents in the corpus, best first.
        corpus: where they are.
        notes: what a reader should know.
    """

    texts: Mapping[str, str]
    candidates: Mapping[str, Sequence[str]]
    corpus: Corpus
    notes: tuple[str, ...]

    def documents(self, query: str, *, whole: bool) -> list[Any]:
        """A query's documents: as texts, or `whole`, as the objects of the corpus, of which a ranker takes fields."""
        entries = (self.corpus[document] for document in self.candidates[query])
        return [entry if whole else text_of_entry(entry) for entry in entries]

    def header(self) -> dict[str, str]:
        """What rankings depend on besides the ranker, as digests."""
        return {
            "queries": digest_of(part for query in self.texts.items() for part in query),
            "candidates": digest_of(part for query in self.texts for part in ("", query, *self.candidates[query])),
            "corpus": self.corpus.digest,
        }

    def close(self) -> None:
        """Close the corpus."""
        self.corpus.close()


def read_job(
    queries: Path, candidates: Path, corpus: Path, *, depth: int | None = None, skip_missing: bool = False
) -> Job:
    """The job of three files: JSON lines of queries and of documents (`_id`, `text`), and a TREC run.

    Args:
        queries: those that the run does not have are left out, which a note tells.
        candidates: its documents are ranked, at most `depth` a query, in the order of the run where scores are equal.
        corpus: of which only the candidates are kept track of.
        depth: candidates of a query; None for all.
        skip_missing: leave out candidates that the corpus does not have, and queries of the run that `queries` lacks.

    Raises:
        InputFileError: a file cannot be read or parsed, a query has no text, or something is missing.
    """
    run = read_run(candidates, depth=depth)
    texts = read_texts(queries)
    notes = []
    if unknown := [query for query in run if query not in texts]:
        if not skip_missing or len(unknown) == len(run):
            raise InputFileError(
                f"{candidates}: {len(unknown):,} of its {len(run):,} queries are not in {queries}: {_named(unknown)}. "
                "Give the queries that the run was made for, or --skip-missing to leave these out."
            )
        notes.append(f"{len(unknown):,} of {len(run):,} queries of {candidates} are not in {queries} and are left out.")
    if lacking := len(texts) - len(run) + len(unknown):
        notes.append(f"{lacking:,} of {len(texts):,} queries have no candidates in {candidates} and are left out.")
    texts = {query: text for query, text in texts.items() if query in run}
    if blank := [query for query, text in texts.items() if not text]:
        raise InputFileError(f"{queries}: {len(blank):,} queries have no text: {_named(blank)}. Give them one.")
    with ExitStack() as opened:
        there = opened.enter_context(Corpus(corpus, {document for found in run.values() for document, _ in found}))
        missing = dict.fromkeys(d for query in texts for d, _ in run[query] if d not in there)
        if missing and not skip_missing:
            raise InputFileError(
                f"{corpus}: {len(missing):,} documents of {candidates} are not in it: {_named(missing)}. "
                "Give the corpus that the run was made from, or --skip-missing to leave these documents out."
            )
        if missing:
            notes.append(f"{len(missing):,} documents of {candidates} are not in {corpus} and are left out.")
        kept = {query: [document for document, _ in run[query] if document in there] for query in texts}
        opened.pop_all()
    return Job(texts, kept, there, tuple(notes))


def _named(ids: Iterable[str]) -> str:
    named = list(ids)
    more = f" and {len(named) - NAMED_MAX:,} more" if len(named) > NAMED_MAX else ""
    return ", ".join(map(repr, named[:NAMED_MAX])) + more
