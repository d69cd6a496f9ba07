"""From sources and a plan to examples: documents, labels and teachers' scores, source by source, each kept on disk.

It knows arrays and the order of steps; not torch.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crossrank.collection.digest import digest_of
from crossrank.train.config import TrainConfig
from crossrank.train.events import Emit, Preparing
from crossrank.train.lexical import Lexical
from crossrank.train.negatives import RANKED_KEPT, Lists, choose, false_negatives, kept_columns, reordered
from crossrank.train.options import GIVEN, NegativesConfig, PartConfig
from crossrank.train.plan import Plan
from crossrank.train.sources import Source
from crossrank.train.store import Arrays, Store
from crossrank.train.teachers import LexicalPart, Part, teach
from crossrank.types import Ranker


@dataclass(frozen=True, slots=True)
class Example:
    """What one query teaches.

    Attributes:
        query: its text.
        documents: texts, relevant ones first.
        targets: a row of labels (0..1) and a row of scores for each teacher, [1 + teachers][documents]; nan is unknown.
    """

    query: str
    documents: list[str]
    targets: list[list[float]]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """All examples in the order of training, as places; texts are looked up when one is asked for.

    Attributes:
        sources: what the places point into.
        plan: which query of which source.
        places: int32 [examples, columns], -1 pads.
        targets: float32 [examples, 1 + teachers, columns].
    """

    sources: Sequence[Source]
    plan: Plan
    places: NDArray[np.int32]
    targets: NDArray[np.float32]

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.places)

    def __getitem__(self, place: int) -> Example:
        """One example with its texts."""
        source = self.sources[self.plan.source[place]]
        used = np.flatnonzero(self.places[place] >= 0)
        return Example(
            source.judged[self.plan.query[place]].query,
            [source.documents[document] for document in self.places[place, used]],
            self.targets[place][:, used].tolist(),
        )

    @property
    def pairs(self) -> int:
        """Pairs of query and document in all examples."""
        return int((self.places >= 0).sum())


def teacher_names(config: TrainConfig) -> list[str]:
    """Teachers in the order of their rows in `targets`; scores from files come last, if a loss asks for them."""
    given = [GIVEN] if any(loss.teacher == GIVEN for loss in config.losses) else []
    return [*(teacher.name for teacher in config.teachers), *given]


def make_examples(
    config: TrainConfig,
    sources: Sequence[Source],
    plan: Plan,
    store: Store | None,
    parts: Mapping[PartConfig, Part],
    part_keys: Mapping[PartConfig, str],
    miner: Ranker | None,
    miner_key: str | None,
    emit: Emit,
) -> Examples:
    """Mine, score and filter what the plan asks for.

    Args:
        config: the run.
        sources: in the order of the plan.
        plan: which queries.
        store: where each source's result is kept; None keeps nothing.
        parts: the teachers' parts; those of kind "bm25" are made here, per source.
        part_keys: what each part's scores depend on.
        miner: reorders BM25's candidates, if wanted.
        miner_key: what its order depends on.
        emit: hears of progress.
    """
    width = config.negatives.positives + config.negatives.hard + config.negatives.random
    teachers = teacher_names(config)
    places = np.full((len(plan), width), -1, np.int32)
    targets = np.full((len(plan), 1 + len(teachers), width), np.nan, np.float32)
    for number, source in enumerate(sources):
        rows = plan.of(number)
        if not len(rows):
            continue
        turns = list(zip(plan.query[rows].tolist(), plan.turn[rows].tolist(), strict=True))
        work = _Work(config, source, turns, parts, miner, emit)
        key = {
            "documents": digest_of(source.documents),
            "queries": digest_of(repr(source.judged[query]) for query, _ in turns),
            "turns": digest_of(map(str, turns)),
            "negatives": dataclasses.asdict(config.negatives),
            "teachers": [
                (t.name, [(dataclasses.asdict(part), part_keys.get(part)) for part in t.parts]) for t in config.teachers
            ],
            "miner": miner_key,
            "given": GIVEN in teachers,
            "seed": config.run.seed,
        }
        made = work.arrays() if store is None else store.arrays(f"examples-{source.config.title}", key, work.arrays)
        places[rows, : made["places"].shape[1]] = made["places"]
        targets[rows, :, : made["targets"].shape[2]] = made["targets"]
    return Examples(sources, plan, places, targets)


class _Work:
    """One source's examples, step by step."""

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        turns: list[tuple[int, int]],
        parts: Mapping[PartConfig, Part],
        miner: Ranker | None,
        emit: Emit,
    ) -> None:
        self._config, self._source, self._turns, self._miner, self._emit = config, source, turns, miner, emit
        self._queries = [source.judged[query].query for query, _ in turns]
        self._lexical = cache(lambda: Lexical(source.documents, source.corpus_size))
        self._parts = {
            part: LexicalPart(self._lexical) if part.kind == "bm25" else parts[part]
            for teacher in config.teachers
            for part in teacher.parts
        }

    def arrays(self) -> Arrays:
        """Places int32 [examples, columns] and targets float32 [examples, 1 + teachers, columns]."""
        negatives = self._config.negatives
        lists = choose(self._source, self._turns, self._candidates(negatives), negatives, self._config.run.seed)
        scores = {
            teacher.name: teach(
                teacher, self._parts, self._queries, self._source.documents, lists.places, self._progress(teacher.name)
            )
            for teacher in self._config.teachers
        }
        if GIVEN in teacher_names(self._config):
            scores[GIVEN] = self._given(lists)
        targets = np.stack([lists.labels, *scores.values()], axis=1)
        places = lists.places
        if negatives.teacher is not None:
            false = false_negatives(lists, scores[negatives.teacher], negatives)
            if negatives.false == "unlabel":
                targets[:, 0][false] = np.nan
                false = np.zeros_like(false)
            columns = kept_columns(lists, false, negatives)
            at = np.maximum(columns, 0)
            places = np.where(columns < 0, -1, np.take_along_axis(places, at, axis=1)).astype(np.int32)
            targets = np.take_along_axis(targets, at[:, None, :], axis=2)
        return {"places": places, "targets": targets.astype(np.float32)}

    def _candidates(self, negatives: NegativesConfig) -> NDArray[np.int32]:
        if negatives.hard == 0:
            return np.full((len(self._queries), 1), -1, np.int32)
        unique = list(dict.fromkeys(self._queries))
        self._progress("BM25")(0, len(unique))
        found = self._lexical().best(unique, negatives.depth + negatives.skip)
        if self._miner is not None:
            self._progress("ranker")(0, len(unique))
            found = reordered(self._miner, self._source, unique, found, RANKED_KEPT * negatives.hard + negatives.skip)
        at = {query: row for row, query in enumerate(unique)}
        return found[[at[query] for query in self._queries]]

    def _given(self, lists: Lists) -> NDArray[np.float32]:
        return np.array(
            [
                [self._source.judged[query].scores.get(place, math.nan) for place in row]
                for (query, _), row in zip(self._turns, lists.places.tolist(), strict=True)
            ],
            np.float32,
        )

    def _progress(self, stage: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - a Progress
        return lambda done, total: self._emit(Preparing(self._source.config.title, stage, done, total))
