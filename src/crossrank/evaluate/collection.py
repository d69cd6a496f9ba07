"""A test collection: queries, a corpus, graded judgements, and first-stage runs, read from BEIR layout or from files.

It knows files and formats; not rankers, measures or models.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossrank.errors import InputFileError
from crossrank.evaluate.files import existing, numbered_lines

Qrels = Mapping[str, Mapping[str, int]]  # grade by query id and document id; above 0 is relevant
Run = Mapping[str, list[tuple[str, float]]]  # by query id: (document id, score), best first


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
    qrels_file = qrels or _split(folder, split)
    name = queries_file.resolve().parent.name if folder is None else folder.resolve().name
    collection = Collection(name, read_texts(queries_file), read_texts(corpus_file), read_qrels(qrels_file))
    _check_ids(collection, queries_file, corpus_file, qrels_file)
    return collection


def read_texts(file: Path) -> dict[str, str]:
    """Texts by id from JSON lines with `_id`, `text` and perhaps `title`; ids must be unique."""
    texts: dict[str, str] = {}
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        try:
            key, entry = entry_of(line)
        except ValueError as exc:
            raise InputFileError(f"{file}, line {number}: {exc}") from None
        if key in texts:
            raise InputFileError(
                f"{file}, line {number}: the id {key!r} stands in the file a second time. Ids are unique."
            )
        texts[key] = text_of_entry(entry)
    if not texts:
        raise InputFileError(f"{file} is empty.")
    return texts


def entry_of(line: str) -> tuple[str, dict[str, Any]]:
    """The id and the entry of a line of JSON; a ValueError says what is wrong with it."""
    try:
        entry = json.loads(line)
        key, _ = str(entry["_id"]), text_of_entry(entry)
    except (json.JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError) as exc:
        reason = f"{type(exc).__name__}: {exc}"
        raise ValueError(f'each line must be {{"_id": ..., "text": ...}} ({reason}).') from None
    return key, entry


def text_of_entry(entry: Mapping[str, Any]) -> str:
    """What is read of an entry: its title, where it has one, then its text."""
    return f"{entry.get('title') or ''} {entry['text']}".strip()


def read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """Grades from BEIR's TSV (with its header: query, document, grade) or TREC's four columns."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in numbered_lines(file):
        parts = line.split()
        if not parts or (number == 1 and parts[-1] == "score"):
            continue
        try:
            query, document, grade = (
                (parts[0], parts[-2], int(parts[-1])) if len(parts) in (3, 4) else ("", "", int(""))
            )
        except ValueError:
            raise InputFileError(
                f"{file}, line {number}: {line.strip()[:80]!r} is no judgement; give `query-id corpus-id grade` "
                "(tab separated) or TREC's `query 0 document grade`, the grade a whole number."
            ) from None
        known = qrels.setdefault(query, {})
        if known.get(document, grade) != grade:
            raise InputFileError(
                f"{file}, line {number}: {query} {document} is judged {grade}, and {known[document]} above."
            )
        known[document] = grade
    if not qrels:
        raise InputFileError(f"{file} holds no judgements.")
    return qrels


def read_run(file: Path, *, depth: int | None = None) -> dict[str, list[tuple[str, float]]]:
    """A TREC run (query Q0 document rank score tag): each query's documents by score, best first, at most `depth`.

    Lines need not be sorted. As trec_eval does, the score decides, not the rank; equal scores keep the file's order.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in numbered_lines(file):
        parts = line.split()
        if not parts:
            continue
        try:
            query, _, document, _, score, *_ = parts
            value = float(score)
        except ValueError:
            raise InputFileError(
                f"{file}, line {number}: {line.strip()[:80]!r} is no line of a TREC run "
                "(query Q0 document rank score tag)."
            ) from None
        found = run.setdefault(query, {})
        if document in found:
            raise InputFileError(
                f"{file}, line {number}: query {query} has the document {document} a second time. "
                "Keep one line of each."
            )
        if not math.isfinite(value):
            raise InputFileError(f"{file}, line {number}: the score {score} is no finite number.")
        found[document] = value
    if not run:
        raise InputFileError(f"{file} holds no run.")
    return {query: sorted(found.items(), key=lambda item: -item[1])[:depth] for query, found in run.items()}


def write_run(file: Path, run: Run, tag: str) -> None:
    """A TREC run of six columns."""
    lines = (
        f"{query} Q0 {document} {rank} {score!r} {tag}\n"
        for query, found in run.items()
        for rank, (document, score) in enumerate(found, 1)
    )
    file.write_text("".join(lines), encoding="utf-8")


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


def _split(folder: Path | None, split: str) -> Path:
    assert folder is not None, "bug: a split is looked for in no folder"
    file = folder / "qrels" / f"{split}.tsv"
    if file.is_file():
        return file
    there = ", ".join(sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))) or "none"
    raise InputFileError(f"{folder} has no qrels/{split}.tsv; splits there: {there}. Choose one with --split.")
