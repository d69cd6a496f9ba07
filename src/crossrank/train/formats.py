"""The formats that judged queries come in: BEIR folders, triples, scored pairs, clicks. One reader each.

They know files and texts; not sampling, negatives or models.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crossrank.collection import read_qrels
from crossrank.collection.beir import split_file
from crossrank.collection.lines import existing
from crossrank.errors import InputFileError
from crossrank.train.augment import shortened
from crossrank.train.clicks import read_clicks
from crossrank.train.jsonl import read_objects, text_of, texts_of
from crossrank.train.options import SourceConfig


@dataclass(frozen=True, slots=True)
class Judged:
    """A query and what is known of documents, by their place in the source.

    Attributes:
        query: its text.
        grades: 0..1 by place; above 0 is relevant; nan is unknown.
        scores: a teacher's scores by place, where the data has them.
        hidden: places that must not become negatives: the originals of relevant documents that were changed.
    """

    query: str
    grades: Mapping[int, float]
    scores: Mapping[int, float] = field(default_factory=dict)
    hidden: tuple[int, ...] = ()

    @property
    def relevant(self) -> list[int]:
        """Places of relevant documents; with a teacher's scores alone, that of the best."""
        places = [place for place, grade in self.grades.items() if grade > 0]
        return places or ([max(self.scores, key=lambda place: self.scores[place])] if self.scores else [])


def read_format(config: SourceConfig, path: Path, rng: np.random.Generator) -> tuple[list[str], list[Judged]]:
    """Documents, and queries judged by their places; `rng` decides which documents keep their title."""
    if config.kind == "beir":
        return _read_beir(config, path, rng)
    pool = _Pool(config.words_max)
    if config.kind == "triples":
        return pool.texts, list(_read_triples(path, pool))
    if config.kind == "pairs":
        return pool.texts, list(_read_pairs(path, pool, config))
    rates = read_clicks(path)
    judged = [Judged(query, {pool.place(text): rate for text, rate in shown.items()}) for query, shown in rates.items()]
    return pool.texts, judged


class _Pool:
    """Texts, each once, by place."""

    def __init__(self, words_max: int) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}
        self._words_max = words_max

    def place(self, text: str) -> int:
        """The text's place, a new one if it was not there."""
        text = shortened(text, self._words_max)
        place = self._places.setdefault(text, len(self.texts))
        if place == len(self.texts):
            self.texts.append(text)
        return place


def _read_triples(file: Path, pool: _Pool) -> Iterator[Judged]:
    by_query: dict[str, dict[int, float]] = {}
    for where, entry in read_objects(file):
        query = text_of(entry, "query", where)
        positives, negatives = texts_of(entry, "positive", where), texts_of(entry, "negatives", where)
        if not positives:
            raise InputFileError(f"{where}: 'positive' must be a string or a list of strings.")
        grades = by_query.setdefault(query, {})
        for text in negatives:
            grades.setdefault(pool.place(text), 0.0)
        grades.update((pool.place(text), 1.0) for text in positives)
    for query, grades in by_query.items():
        yield Judged(query, grades)


def _read_pairs(file: Path, pool: _Pool, config: SourceConfig) -> Iterator[Judged]:
    by_query: dict[str, dict[int, float]] = {}
    for where, entry in read_objects(file):
        query, document = text_of(entry, "query", where), text_of(entry, "document", where)
        score = entry.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise InputFileError(f"{where}: 'score' must be a finite number, not {score!r}.")
        if config.scores == "label" and not 0 <= score <= 1:
            raise InputFileError(
                f'{where}: the score {score} is no label in 0..1. For a teacher\'s scores set `scores = "teacher"`.'
            )
        by_query.setdefault(query, {})[pool.place(document)] = float(score)
    for query, scores in by_query.items():
        if config.scores == "label":
            yield Judged(query, scores)
        else:
            yield Judged(query, dict.fromkeys(scores, math.nan), scores)


def _read_beir(config: SourceConfig, folder: Path, rng: np.random.Generator) -> tuple[list[str], list[Judged]]:
    qrels_file = split_file(folder, config.split)
    qrels = read_qrels(qrels_file)
    queries = {
        str(entry.get("_id")): text_of(entry, "text", where)
        for where, entry in read_objects(existing(folder, "queries"))
        if str(entry.get("_id")) in qrels
    }
    left_out = _left_out(folder, config)
    documents: list[str] = []
    places: dict[str, int] = {}
    for where, entry in read_objects(existing(folder, "corpus")):
        key, text = str(entry.get("_id")), entry.get("text")
        if not isinstance(text, str):
            raise InputFileError(f"{where}: 'text' must be a string, not {text!r}.")
        titled = f"{entry.get('title') or ''} {text}" if rng.random() < config.titles or not text else text
        if key not in left_out and titled.strip():
            places[key] = len(documents)
            documents.append(shortened(titled.strip(), config.words_max))
    top = max(grade for grades in qrels.values() for grade in grades.values())
    judged = []
    for query, graded in qrels.items():
        if query not in queries:
            continue
        grades = {places[d]: _grade(grade, top, graded=config.graded) for d, grade in graded.items() if d in places}
        judged.append(Judged(queries[query], grades))
    if not judged:
        raise InputFileError(f"{qrels_file}: none of its query ids is in {folder}/queries.jsonl.")
    return documents, judged


def _grade(grade: int, top: int, *, graded: bool) -> float:
    if grade <= 0:
        return 0.0
    return grade / top if graded else 1.0


def _left_out(folder: Path, config: SourceConfig) -> set[str]:
    if config.exclude is None:
        return set()
    try:
        return set((folder / config.exclude).read_text(encoding="utf-8").split())
    except OSError as exc:
        raise InputFileError(f"{folder / config.exclude} (exclude) cannot be read: {exc.strerror}.") from exc
