"""Several rankers one after the other, each on the best of the one before: cheap first, good last.

It knows the protocol of rankers; not which ones they are.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crossrank.composition.composed import Composed, Steps
from crossrank.composition.stage import Stage
from crossrank.errors import DeadlineError, UsageError
from crossrank.rankers import Call
from crossrank.types import Hit, Ranking


class Cascade(Composed):
    """A ranker made of stages; itself wherever a ranker is wanted.

    A hit has the score of the last stage that scored it, named in `scored_by`. Those of a later stage stand before
    those of an earlier one, and documents that no stage scored in time follow in input order. Nothing is dropped but by
    the last stage's `keep` and by what the caller asks for: `top_k`, and `threshold`, which is of the last stage's
    scores, or probabilities, so that documents which did not come that far are left out.

    Args:
        stages: in their order.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = list(stages)
        if not self.stages or not all(isinstance(stage, Stage) for stage in self.stages):
            raise UsageError("Cascade wants a list of stages, as [Stage(ranker, keep=50), Stage(another, keep=10)]")
        self.rankers = [stage.ranker for stage in self.stages]

    def __repr__(self) -> str:
        """The stages."""
        return f"Cascade({self.stages!r})"

    def _steps(self, call: Call) -> Steps:
        started = time.perf_counter()
        hits: list[Hit] = []  # those that go on, best first
        dropped: list[Hit] = []  # by stages before, the latest first
        given = scored = frozenset[int]()  # positions in the input, of the stage that was the last to answer
        usage: Counter[str] = Counter()
        timings: dict[str, float] = {}
        answers: list[Ranking] = []
        for stage in self.stages:
            documents = [hit.document for hit in hits] if answers else call.documents
            on = call.threshold_on if stage is self.stages[-1] else "score"  # the others need no calibration
            if answers and call.left_s == 0:
                break  # the first stage is always asked: it says what the texts are
            try:
                ranking = yield (
                    stage.ranker,
                    replace(call, documents=documents, top_k=None, threshold=None, threshold_on=on),
                )
            except DeadlineError:
                if not answers:
                    raise
                break
            # A stage counts positions among what it was given.
            answer = [replace(hit, index=hits[hit.index].index) for hit in ranking] if answers else list(ranking)
            before = hits if answers else answer
            given, scored = _positions(before), _positions(hit for hit in answer if hit.score is not None)
            order = [hit for hit in answer if hit.index in scored] + [hit for hit in before if hit.index not in scored]
            keep = len(order) if stage.keep is None else stage.keep
            hits, dropped = order[:keep], order[keep:] + dropped
            answers.append(ranking)
            usage.update(ranking.usage)
            for name, seconds in ranking.timings.items():
                timings[name] = timings.get(name, 0.0) + seconds
        finished = len(answers) == len(self.stages)
        hits = [*hits, *dropped][: self.stages[-1].keep]
        if call.threshold is not None and finished:
            late = given - scored
            hits = [hit for hit in hits if hit.index in late or _reaches(hit, scored, call)]
        usage["documents"] = len(call.documents)
        timings["total"] = time.perf_counter() - started
        ranked = tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits[: call.top_k], 1))
        fallback = next((answer.fallback for answer in answers if answer.fallback), None)
        return Ranking(ranked, call.query, timings, usage, fallback)


def _positions(hits: Iterable[Hit]) -> frozenset[int]:
    return frozenset(hit.index for hit in hits)


def _reaches(hit: Hit, scored: frozenset[int], call: Call) -> bool:
    value = hit.score if call.threshold_on == "score" else hit.probability
    return hit.index in scored and value is not None and call.threshold is not None and value >= call.threshold
