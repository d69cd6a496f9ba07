"""Labelled pairs: queries with documents that someone judged, from JSON lines, CSV, TSV, or a collection's judgements.

It knows files and grades; not rankers or probabilities.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.collection import Collection
from crossrank.collection.lines import numbered_lines, separator_of
from crossrank.documents.texts import text_of
from crossrank.errors import ArgumentTypeError, DocumentError, InputFileError, UsageError
from crossrank.evaluate.precision import Probe

WORDS = {"true": 1.0, "false": 0.0}
CELL_MAX = 2**31 - 1  # characters of a CSV cell; the csv module's own limit is 128 Ki
SHAPE = "each has a query, a document (or text) and a label: 1 for relevant, 0 for not, or a grade"

Relevant = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """Judged pairs.

    Attributes:
        name: of the file or the collection.
        pairs: query and document's text.
        grades: float64 [n], finite; which of them mean relevant is `relevant`'s business.
        notes: what a reader should know about them.
    """

    name: str
    pairs: Sequence[tuple[str, str]]
    grades: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def queries(self) -> NDArray[np.int64]:
        """The number of its query for each pair, int64 [n]."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(query, len(numbers)) for query, _ in self.pairs], np.int64)

    def relevant(self, relevant_from: float | None = None) -> Relevant:
        """Which pairs are relevant, bool [n]: those with at least this grade; None: labels are 0 and 1.

        Raises:
            UsageError: there are other grades, and nothing says which of them mean relevant.
        """
        if relevant_from is not None:
            return self.grades >= relevant_from
        between = self.grades[(self.grades > 0) & (self.grades != 1)]
        if len(between):
            raise UsageError(
                f"{self.name} has grades, up to {self.grades.max():g} (and {between[0]:g}), not only 0 and 1. "
                "Say from which grade on a document is relevant: --relevant-from 2, for example."
            )
        return self.grades > 0


def read_labels(file: Path) -> Labels:
    """The pairs of a .jsonl, .csv or .tsv file (of which the first line names the columns), plain or .gz.

    Raises:
        InputFileError: the file cannot be read, or a line is no labelled pair; the message names it.
    """
    suffix = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    if suffix in (".csv", ".tsv"):
        entries = _rows(file)
    elif suffix in (".jsonl", ".ndjson"):
        entries = _objects(file)
    else:
        raise InputFileError(
            f"{file}: its name does not tell the format. Labels are .jsonl, .csv or .tsv (perhaps .gz), "
            "or a folder in BEIR layout."
        )
    pairs, grades = [], []
    for number, entry in entries:
        place = f"{file}, line {number}"
        pairs.append(_pair(entry, place))
        grades.append(_grade(entry, place))
    if not pairs:
        raise InputFileError(f"{file} holds no labelled pairs; {SHAPE}.")
    return Labels(file.name, pairs, np.array(grades, np.float64))


def labels_of(name: str, probes: Sequence[Probe], notes: Sequence[str] = ()) -> Labels:
    """Each query's candidates with their judgements; what nobody judged counts as not relevant."""
    pairs = [pair for probe in probes for pair in probe.pairs]
    grades = [grade for probe in probes for grade in probe.grades]
    return Labels(name, pairs, np.array(grades, np.float64), tuple(notes))


def collection_of(labels: Labels) -> Collection:
    """The labels as a collection: queries and documents get ids in order, equal texts one; the rest is not judged.

    Raises:
        UsageError: a grade is no whole number, or a pair has two.
    """
    queries, corpus = dict[str, str](), dict[str, str]()
    qrels: dict[str, dict[str, int]] = {}
    for (query, document), grade in zip(labels.pairs, labels.grades.tolist(), strict=True):
        judged = qrels.setdefault(queries.setdefault(query, f"q{len(queries) + 1}"), {})
        number = corpus.setdefault(document, f"d{len(corpus) + 1}")
        if grade != int(grade) or judged.setdefault(number, int(grade)) != grade:
            raise UsageError(
                f"{labels.name}: {query[:60]!r} with {document[:60]!r} is labelled {grade:g}"
                + (f", and {judged[number]} elsewhere." if number in judged else "; grades must be whole numbers here.")
            )
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        raise UsageError(f"{labels.name}: no document is relevant to any query (no label is above 0).")
    asked, texts = ({number: text for text, number in numbers.items()} for numbers in (queries, corpus))
    return Collection(Path(labels.name).stem, asked, texts, qrels)


def _objects(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise InputFileError(f"{file}, line {number}: broken JSON ({exc}).") from None
        if not isinstance(entry, dict):
            raise InputFileError(f"{file}, line {number}: not an object; {SHAPE}.")
        yield number, entry


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(CELL_MAX)
    lines = (line for _, line in numbered_lines(file))
    first = next(lines, "")
    reader = csv.DictReader(chain([first], lines), delimiter=separator_of(first), strict=True)
    try:
        for row in reader:
            yield reader.line_num, {name: cell for name, cell in row.items() if name and cell is not None}
    except csv.Error as exc:
        raise InputFileError(f"{file}, line {reader.line_num}: broken {file.suffix[1:]} ({exc}).") from None


def _pair(entry: Mapping[str, Any], place: str) -> tuple[str, str]:
    query, document = entry.get("query"), entry.get("document", entry.get("text"))
    if not isinstance(query, str) or not query.strip() or document is None:
        there = ", ".join(map(repr, entry)) or "(none)"
        raise InputFileError(f"{place}: no {'document' if query else 'query'} (its fields: {there}); {SHAPE}.")
    try:
        return query, text_of(document, "the document")
    except (DocumentError, ArgumentTypeError) as exc:
        raise InputFileError(f"{place}: {exc}") from None


def _grade(entry: Mapping[str, Any], place: str) -> float:
    label = entry.get("label")
    if label is None:
        there = ", ".join(map(repr, entry)) or "(none)"
        raise InputFileError(f"{place}: no label (its fields: {there}); {SHAPE}.")
    try:
        number = float(WORDS.get(label.strip().lower(), label)) if isinstance(label, str) else float(label)
    except (TypeError, ValueError):
        raise InputFileError(f"{place}: the label is {label!r}; {SHAPE}.") from None
    if not math.isfinite(number):
        raise InputFileError(f"{place}: the label is {number}, which says nothing; {SHAPE}, or leave the line out.")
    return number
