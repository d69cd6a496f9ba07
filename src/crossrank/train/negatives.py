"""Which documents stand beside the relevant ones: judged, mined and random places; false negatives found and dropped.

It knows places and scores; texts only pass through to the ranker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.train.formats import Judged
from crossrank.train.options import NegativesConfig
from crossrank.train.sources import Source, rng_of, same_query
from crossrank.types import Ranker

SPARE = 2  # with a filter, so many times the wanted negatives are drawn and scored
POOL_LEAST = 100  # relevant documents that make a pool of random negatives
RANKED_KEPT = 2  # of the candidates a ranker reorders, its best so many times `hard` stay


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The documents of each example.

    Attributes:
        places: int32 [examples, columns]: relevant first, then hard, then random; -1 pads.
        labels: float32 of that shape, 0..1; nan is unknown, and padding.
        mined: bool of that shape: not relevant by assumption only.
        kinds: int8 of that shape: 0 relevant, 1 hard, 2 random.
    """

    places: NDArray[np.int32]
    labels: NDArray[np.float32]
    mined: NDArray[np.bool_]
    kinds: NDArray[np.int8]


def choose(
    source: Source,
    turns: Sequence[tuple[int, int]],
    candidates: NDArray[np.int32],
    config: NegativesConfig,
    seed: int,
) -> Lists:
    """Documents for each example, more than wanted if false negatives are to be dropped afterwards.

    Args:
        source: the documents and judgements.
        turns: (query's place, turn) of each example.
        candidates: BM25's places [examples, depth], -1 pads.
        config: how many of which kind.
        seed: decides every draw together with the source's name, the query and the turn.
    """
    spare = SPARE if config.teacher is not None and config.false == "drop" else 1
    width = config.positives + spare * (config.hard + config.random)
    lists = Lists(
        np.full((len(turns), width), -1, np.int32),
        np.full((len(turns), width), np.nan, np.float32),
        np.zeros((len(turns), width), bool),
        np.zeros((len(turns), width), np.int8),
    )
    right = _right(source)
    pool = _pool(source, turns, config)
    for row, (query, turn) in enumerate(turns):
        judged, rng = source.judged[query], rng_of(seed, source.config.title, query, turn)
        near = candidates[row, config.skip :].tolist()
        forbidden = right[same_query(judged.query)]
        by_kind = _chosen(source.documents, judged, forbidden, near, pool, config, spare, rng)
        chosen = [place for places in by_kind for place in places][:width]
        lists.kinds[row, : len(chosen)] = np.repeat(range(3), [len(places) for places in by_kind])[:width]
        lists.places[row, : len(chosen)] = chosen
        lists.labels[row, : len(chosen)] = [judged.grades.get(place, 0.0) for place in chosen]
        lists.mined[row, : len(chosen)] = [place not in judged.grades for place in chosen]
    return lists


def _right(source: Source) -> dict[str, set[str]]:
    """By query, the texts that answer it or another query that reads the same, under another id."""
    texts: dict[str, set[str]] = {}
    for one in source.judged:
        places = (*one.relevant, *one.hidden)
        texts.setdefault(same_query(one.query), set()).update(source.documents[place] for place in places)
    return texts


def _pool(source: Source, turns: Sequence[tuple[int, int]], config: NegativesConfig) -> NDArray[np.int64]:
    """Places that random negatives are drawn from; the whole corpus where few queries would make a narrow pool."""
    if config.random_from == "relevant":
        relevant = {source.original(place) for query, _ in turns for place in source.judged[query].relevant}
        if len(relevant) >= POOL_LEAST:
            return np.array(sorted(relevant))
    return np.arange(source.corpus_size)


def _chosen(
    texts: Sequence[str],
    judged: Judged,
    right: set[str],
    candidates: Sequence[int],
    pool: NDArray[np.int64],
    config: NegativesConfig,
    spare: int,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], list[int]]:
    """Relevant, hard and random places."""
    relevant = judged.relevant
    taken = _drawn(rng, relevant, config.positives)
    known = [place for place in judged.grades if texts[place] not in right]
    known = [known[i] for i in rng.permutation(len(known))][: max(config.hard + config.random, 1)]
    forbidden = right | {texts[place] for place in known}
    mined = [place for place in candidates if place >= 0 and texts[place] not in forbidden]
    hard = [*known, *_drawn(rng, mined, max(0, spare * config.hard - len(known)))]
    forbidden |= {texts[place] for place in hard}
    wanted = max(0, spare * (config.hard + config.random) - len(hard)) if config.random else 0
    drawn = dict.fromkeys(pool[rng.integers(0, len(pool), 2 * wanted + 8)].tolist())
    return taken, hard, [place for place in drawn if texts[place] not in forbidden][:wanted]


def false_negatives(lists: Lists, teacher: NDArray[np.float32], config: NegativesConfig) -> NDArray[np.bool_]:
    """Which mined documents are too good to be negatives, bool like `lists.places`.

    Those to which the teacher gives more than the relevant document's score less `margin`, or more than `share` of it
    (as in NV-Retriever, Moreira et al. 2024).

    Args:
        lists: the documents.
        teacher: its scores float32 like `lists.places`.
        config: margin and share.
    """
    best = np.where(lists.labels > 0, teacher, -np.inf).max(axis=1, keepdims=True)
    limit = np.full_like(best, np.inf)
    if config.margin is not None:
        limit = np.minimum(limit, best - config.margin)
    if config.share is not None:
        limit = np.minimum(limit, np.where(best > 0, best * config.share, best))
    found: NDArray[np.bool_] = lists.mined & (teacher > limit) & np.isfinite(best)
    return found


def kept_columns(lists: Lists, false: NDArray[np.bool_], config: NegativesConfig) -> NDArray[np.int64]:
    """Columns that stay, int64 [examples, wanted], in their order; -1 where none.

    As many hard and random ones as wanted, none of them false; where one kind runs short, more of the other. What was
    judged comes before what is assumed, as in `choose`.
    """
    good = (lists.places >= 0) & ~false
    hard, random = good & (lists.kinds == 1), good & (lists.kinds == 2)
    beyond = (hard & lists.mined & (hard.cumsum(axis=1) > config.hard)) | (
        random & (random.cumsum(axis=1) > config.random)
    )
    last = np.where(good, beyond.astype(int), 2)
    order = np.argsort(last, axis=1, kind="stable")[:, : config.positives + config.hard + config.random]
    none = good.shape[1]
    kept = np.sort(np.where(np.take_along_axis(good, order, axis=1), order, none), axis=1)
    return np.where(kept == none, -1, kept)


def reordered(
    ranker: Ranker, source: Source, queries: Sequence[str], candidates: NDArray[np.int32], keep: int
) -> NDArray[np.int32]:
    """The candidates as the ranker orders them, its best `keep`: negatives that a model finds hard."""
    out = np.full((len(queries), min(keep, candidates.shape[1])), -1, np.int32)
    for row, query in enumerate(queries):
        places = [place for place in candidates[row].tolist() if place >= 0]
        if places:
            ranking = ranker.rank(query, [source.documents[place] for place in places], top_k=out.shape[1])
            best = [places[hit.index] for hit in ranking]
            out[row, : len(best)] = best
    return out


def _drawn(rng: np.random.Generator, places: Sequence[int], count: int) -> list[int]:
    if len(places) <= count:
        return list(places)
    return [places[i] for i in sorted(rng.choice(len(places), count, replace=False))]
