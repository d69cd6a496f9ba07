"""Whatever a team has, as queries with judged documents: read, sampled, and changed a little where that is asked for.

Sampling is decided by the seed and the source's name alone. Knows files and texts; not negatives, teachers or models.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossrank.errors import InputFileError, UsageError
from crossrank.evaluate.files import existing
from crossrank.train.augment import cloze, drop_words, keywords, shortened, without
from crossrank.train.formats import Judged, read_format
from crossrank.train.jsonl import read_objects
from crossrank.train.options import SourceConfig


@dataclass(frozen=True, slots=True)
class Source:
    """Judged queries over documents.

    Attributes:
        config: what was asked for.
        documents: texts; those from `corpus_size` on are changed copies, for their own queries only.
        corpus_size: how many of them are the corpus.
        judged: the queries, each with a relevant document.
    """

    config: SourceConfig
    documents: list[str]
    corpus_size: int
    judged: list[Judged]


def rng_of(seed: int, *parts: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and on these parts only."""
    return np.random.default_rng([seed, *(zlib.crc32(p.encode()) if isinstance(p, str) else p for p in parts)])


def read_source(config: SourceConfig, path: Path, seed: int) -> Source:
    """The source at a path, sampled and changed as its config says.

    Raises:
        InputFileError: something is missing or broken, or no query has a relevant document.
    """
    if not path.exists():
        raise InputFileError(f"The source {config.title!r}: {path} does not exist. Paths are seen from the data root.")
    rng = rng_of(seed, config.title)
    if config.kind == "cloze":
        return _cloze_source(config, path, rng)
    documents, judged = read_format(config, path, rng)
    relevant = [one for one in judged if one.relevant]
    if not relevant:
        raise InputFileError(
            f"The source {config.title!r} ({path}) has no query with a relevant document (a grade above 0)."
        )
    corpus_size = len(documents)
    sampled = [_changed(one, documents, config, rng) for one in _sample(relevant, config, rng)]
    return Source(config, documents, corpus_size, sampled)


def _cloze_source(config: SourceConfig, folder: Path, rng: np.random.Generator) -> Source:
    whole = [
        shortened(str(entry.get("text") or "").strip(), config.words_max)
        for _, entry in read_objects(existing(folder, "corpus"))
    ]
    documents = [text for text in whole if text]
    corpus_size, judged = len(documents), []
    for place in rng.permutation(corpus_size):
        made = cloze(documents[place], rng)
        if made is not None:
            judged.append(Judged(made[0], {len(documents): 1.0}, hidden=(int(place),)))
            documents.append(made[1])
        if len(judged) == (config.limit or corpus_size):
            break
    if not judged:
        raise InputFileError(
            f"The source {config.title!r}: no document of {folder} has three sentences to choose from."
        )
    return Source(config, documents, corpus_size, judged)


def _sample(judged: list[Judged], config: SourceConfig, rng: np.random.Generator) -> list[Judged]:
    order = rng.permutation(len(judged))
    if config.queries_per_document_max is not None:
        seen: dict[int, int] = {}
        kept = []
        for place in order:
            first = judged[place].relevant[0]
            seen[first] = seen.get(first, 0) + 1
            if seen[first] <= config.queries_per_document_max:
                kept.append(place)
        order = np.array(kept)
    return [judged[place] for place in order[: config.limit]]


def _changed(one: Judged, documents: list[str], config: SourceConfig, rng: np.random.Generator) -> Judged:
    unquoted, shrunk = rng.random(2) < (config.unquote, config.keywords)
    query, grades, hidden = one.query, dict(one.grades), list(one.hidden)
    if unquoted:
        for place in one.relevant:
            cut = without(documents[place], query)
            if cut != documents[place]:
                grades[len(documents)] = grades.pop(place)
                hidden.append(place)
                documents.append(cut)
    if shrunk:
        query = keywords(query)
    if config.drop_words:
        query = drop_words(query, config.drop_words, rng)
    return Judged(query, grades, one.scores, tuple(hidden))


def check_classes(source: Source, *, others: int) -> None:
    """Refuse a source in which nothing could stand against the relevant documents.

    Args:
        source: as read.
        others: documents that are mined or drawn for each query.
    """
    if others == 0 and all(len(set(one.grades.values())) == 1 and not one.scores for one in source.judged):
        raise UsageError(
            f"The source {source.config.title!r} has one class only: every judged document is relevant. "
            "Set negatives.hard or negatives.random above 0."
        )
    if source.corpus_size < 2:
        raise InputFileError(
            f"The source {source.config.title!r} has one document only; there is nothing to rank it against."
        )
