"""Whatever a team has, as queries with judged documents: read, sampled, and changed a little where that is asked for.

Sampling is decided by the seed and the source's name alone. Knows files and texts; not negatives, teachers or models.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossrank.collection.lines import existing
from crossrank.errors import InputFileError, UsageError
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
        originals: of each changed copy, its place in the corpus.
        asked: the queries as they were before they were changed, by `same_query`.
    """

    config: SourceConfig
    documents: list[str]
    corpus_size: int
    judged: list[Judged]
    originals: Sequence[int] = ()
    asked: frozenset[str] = frozenset()

    def original(self, place: int) -> int:
        """The place in the corpus of what stands at a place."""
        return place if place < self.corpus_size else self.originals[place - self.corpus_size]


def same_query(query: str) -> str:
    """What two queries have in common if they are one: their words, whatever the case and the spaces."""
    return " ".join(query.casefold().split())


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
    sampled = _sample(_shared(relevant), config, rng)
    originals: list[int] = []
    changed = [_changed(one, documents, originals, config, rng) for one in sampled]
    return Source(
        config, documents, corpus_size, changed, originals, frozenset(same_query(one.query) for one in sampled)
    )


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
    originals = [place for one in judged for place in one.hidden]
    return Source(config, documents, corpus_size, judged, originals, frozenset(same_query(one.query) for one in judged))


def _shared(judged: list[Judged]) -> list[Judged]:
    """What answers one query must not become a negative of another that reads the same, sampled or not."""
    places: dict[str, set[int]] = {}
    for one in judged:
        places.setdefault(same_query(one.query), set()).update(one.relevant)
    return [
        replace(one, hidden=tuple(sorted(places[same_query(one.query)].difference(one.relevant)))) for one in judged
    ]


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


def _changed(
    one: Judged, documents: list[str], originals: list[int], config: SourceConfig, rng: np.random.Generator
) -> Judged:
    unquoted, shrunk = rng.random(2) < (config.unquote, config.keywords)
    query, grades, scores, hidden = one.query, dict(one.grades), dict(one.scores), list(one.hidden)
    if unquoted:
        for place in one.relevant:
            cut = without(documents[place], query)
            if cut != documents[place]:
                grades[len(documents)] = grades.pop(place)
                if place in scores:
                    scores[len(documents)] = scores.pop(place)
                hidden.append(place)
                originals.append(place)
                documents.append(cut)
    if shrunk:
        query = keywords(query)
    if config.drop_words:
        query = drop_words(query, config.drop_words, rng)
    return Judged(query, grades, scores, tuple(hidden))


def check_classes(source: Source, *, others: int) -> None:
    """Refuse a source in which nothing could stand against the relevant documents.

    Args:
        source: as read.
        others: documents that are mined or drawn for each query.
    """
    labels = {one.grades[place] for one in source.judged for place in one.relevant}
    if others == 0 and (len(labels) == 1 or any(map(math.isnan, labels))):
        raise UsageError(
            f"Without negatives the source {source.config.title!r} has one class only: relevant documents, all alike. "
            "Set negatives.hard or negatives.random above 0; judged documents come first."
        )
    if source.corpus_size < 2:
        raise InputFileError(
            f"The source {source.config.title!r} has one document only; there is nothing to rank it against."
        )
