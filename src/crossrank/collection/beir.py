"""A test collection as one value: queries, a corpus and judgements, from a folder in BEIR layout or from files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossrank.collection.lines import existing
from crossrank.collection.qrels import Qrels, read_qrels
from crossrank.collection.texts import read_texts
from crossrank.errors import InputFileError


@dataclass(frozen=True, slots=True)
class Collection:
    """What a ranker is judged on.

    Attributes:
        name: for tables.
        queries: text by query id.
        corpus: text by document id; a title, where there is one, comes before the text.
        qrels: grades by query id and document id.
    """

    name: str
    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Qrels = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """Ids of queries that have a relevant document, in the order of `queries`: those a measure is defined for."""
        return [query for query in self.queries if any(grade > 0 for grade in self.qrels.get(query, {}).values())]

    def relevant(self, query: str) -> list[str]:
        """Ids of the documents that are relevant to a query."""
        return [document for document, grade in self.qrels.get(query, {}).items() if grade > 0]


def read_collection(
    folder: Path | None,
    *,
    split: str = "test",
    queries: Path | None = None,
    corpus: Path | None = None,
    qrels: Path | None = None,
) -> Collection:
    """A folder in BEIR layout (corpus.jsonl, queries.jsonl, either .gz too, qrels/<split>.tsv), or files.

    A file that is given replaces that of the folder; all three are needed where there is no folder.

    Raises:
        InputFileError: a file is missing, broken, empty, or the qrels name queries or documents that nothing else does.
    """
    if folder is not None and not folder.is_dir():
        more = " docs/howto/evaluate.md makes one from a table of labels." if folder.is_file() else ""
        raise InputFileError(
            f"{folder} is no folder. Give one in BEIR layout: corpus.jsonl, queries.jsonl, qrels/.{more}"
        )
    if folder is None and (queries is None or corpus is None or qrels is None):
        raise InputFileError("Without a folder, three files are needed: queries, corpus and qrels.")
    queries_file = queries or existing(folder, "queries")
    corpus_file = corpus or existing(folder, "corpus")
    qrels_file = qrels or split_file(folder, split)
    name = queries_file.resolve().parent.name if folder is None else folder.resolve().name
    collection = Collection(name, read_texts(queries_file), read_texts(corpus_file), read_qrels(qrels_file))
    _check_ids(collection, queries_file, corpus_file, qrels_file)
    return collection


def split_file(folder: Path | None, split: str) -> Path:
    """The judgements of a split of a folder.

    Raises:
        InputFileError: there are none.
    """
    assert folder is not None, "bug: a split is looked for in no folder"
    file = folder / "qrels" / f"{split}.tsv"
    if file.is_file():
        return file
    there = ", ".join(sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))) or "none"
    raise InputFileError(
        f"{folder} has no qrels/{split}.tsv; splits there: {there}. "
        "Choose one with --split (in a training config: split)."
    )


def _check_ids(collection: Collection, queries: Path, corpus: Path, qrels: Path) -> None:
    """Raise unless every judged query is known, something is relevant, and some of that is in the corpus."""
    unknown = [query for query in collection.qrels if query not in collection.queries]
    if len(unknown) == len(collection.qrels):
        raise InputFileError(
            f"{qrels}: none of its {len(unknown):,} query ids is in {queries} (the first is {unknown[0]!r}); "
            "the files belong to different sets."
        )
    if unknown:
        raise InputFileError(
            f"{qrels}: {len(unknown):,} of its {len(collection.qrels):,} query ids are not in {queries} (the first: "
            f"{unknown[0]!r}). Add these queries, or take their judgements out."
        )
    relevant = [document for query in collection.judged for document in collection.relevant(query)]
    if not relevant:
        raise InputFileError(
            f"{qrels}: no document is relevant to any query (no grade is above 0), so there is nothing to measure. "
            "Choose another --split or --qrels."
        )
    if not any(document in collection.corpus for document in relevant):
        raise InputFileError(
            f"{qrels}: none of its {len(relevant):,} relevant documents is in {corpus} (the first is {relevant[0]!r}); "
            "the files belong to different sets."
        )
