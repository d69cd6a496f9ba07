"""How far each precision of a model agrees with fp32, and how fast it is: on probes that come with crossrank, or a set.

It knows rankers by the logits they give; not processors, caches, terminals, or what a precision is.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossrank.collection import Collection
from crossrank.engine.precision import EXACT, Measured, by_exactness
from crossrank.evaluate.candidates import Candidates

SHIPPED = "the probes of crossrank"
DEPTH = 10  # of nDCG
TIMED = 100  # pairs
REPEATS = 5
REPEATS_S = 30.0  # after which no further repeat is begun

Logits = NDArray[np.float32]


class Scores(Protocol):
    """What is measured: a `Reranker` without a cache."""

    def score(self, pairs: Sequence[tuple[str, str]], *, raw: bool = False) -> Logits:
        """float32 [n], logits if `raw`."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """A query with candidates.

    Attributes:
        query: its text.
        texts: of the candidates.
        grades: of the candidates.
        ideal: grades of everything that is known to be relevant, the highest first.
    """

    query: str
    texts: tuple[str, ...]
    grades: tuple[int, ...]
    ideal: tuple[int, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query with each candidate."""
        return [(self.query, text) for text in self.texts]


def shipped_probes() -> list[Probe]:
    """Ten questions of many kinds with sixteen passages each, graded 0 to 2."""
    probes = []
    for line in (Path(__file__).parent / "probes.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        texts, grades = zip(*((passage["text"], passage["grade"]) for passage in entry["passages"]), strict=True)
        probes.append(Probe(entry["query"], texts, grades, _ideal(grades)))
    return probes


def probes_of(collection: Collection, candidates: Candidates, queries_max: int | None = None) -> list[Probe]:
    """The first `queries_max` judged queries that have candidates, with them."""
    probes = []
    for query, ids in candidates.ids.items():
        if ids:
            judged = collection.qrels[query]
            texts, grades = (collection.corpus[i] for i in ids), (judged.get(i, 0) for i in ids)
            probes.append(Probe(collection.queries[query], tuple(texts), tuple(grades), _ideal(tuple(judged.values()))))
    return probes[:queries_max]


def measure(
    models: Mapping[str, Scores],
    probes: Sequence[Probe],
    *,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Measured, ...]:
    """Each precision beside fp32, the most exact first.

    Args:
        models: the same model by precision; fp32 is among them. Without a cache.
        probes: at least one.
        repeats: how often each is timed, in turn with the others; the median counts.
        clock: in seconds.
    """
    assert probes, "bug: nothing to measure on"
    logits = {name: [model.score(probe.pairs, raw=True) for probe in probes] for name, model in models.items()}
    speeds = _speeds(models, probes, repeats, clock)
    exact = logits[EXACT]
    ndcgs = {name: _mean(ndcg(p, found) for p, found in zip(probes, of, strict=True)) for name, of in logits.items()}
    return tuple(
        Measured(
            precision=name,
            pairs_per_s=speeds[name],
            logit_difference_max=max(float(np.abs(a - b).max()) for a, b in zip(exact, logits[name], strict=True)),
            tau=_mean(kendall_tau(a, b) for a, b in zip(exact, logits[name], strict=True)),
            ndcg=ndcgs[name],
            ndcg_difference=ndcgs[name] - ndcgs[EXACT],
        )
        for name in by_exactness(models)
    )


def kendall_tau(left: Logits, right: Logits) -> float:
    """Kendall's tau-b of two rankings of the same documents; 1 where neither tells any documents apart."""
    above = np.triu_indices(len(left), 1)
    one, other = (np.sign(x[above[0]] - x[above[1]]) for x in (left, right))
    untied = float(np.sqrt(np.count_nonzero(one) * np.count_nonzero(other)))
    return float(one @ other) / untied if untied else float(not one.any() and not other.any())


def ndcg(probe: Probe, logits: Logits) -> float:
    """nDCG@10 as trec_eval has it; equal logits keep the order of the candidates. 0 where nothing is relevant."""
    order = np.argsort(-logits, kind="stable")[:DEPTH]
    ideal = _gain(probe.ideal)
    return _gain([probe.grades[i] for i in order]) / ideal if ideal else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / float(np.log2(rank + 2)) for rank, grade in enumerate(grades[:DEPTH]))


def _ideal(grades: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted((grade for grade in grades if grade > 0), reverse=True))


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _speeds(
    models: Mapping[str, Scores], probes: Sequence[Probe], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Pairs a second, the median. The models take turns, so that whatever else the machine does meets all of them."""
    texts = list(dict.fromkeys(text for probe in probes for text in probe.texts))
    pairs = list(islice(((probe.query, text) for probe in probes for text in texts), TIMED))
    seconds: dict[str, list[float]] = {name: [] for name in models}
    begun = clock()
    for _ in range(repeats):
        for name, model in models.items():
            started = clock()
            model.score(pairs)
            seconds[name].append(clock() - started)
        if clock() - begun > REPEATS_S:
            break
    return {name: len(pairs) / float(np.median(of)) for name, of in seconds.items()}
