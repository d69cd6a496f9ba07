"""Many queries in one pass: neighbours go through the model together, and no more of a stream is read than that.

It knows questions, work and rankings; not how a pair is scored.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from crossrank.arguments import Wanted, each_query
from crossrank.awaiting import in_thread
from crossrank.calibration import Calibration
from crossrank.documents.texts import check_fields
from crossrank.engine.encode import together
from crossrank.engine.scorer import PORTION_CHARACTERS, Outcome
from crossrank.errors import CrossrankError
from crossrank.observe.watch import Watch
from crossrank.question import Question
from crossrank.schedule.scheduler import Scheduler
from crossrank.schedule.work import Work
from crossrank.types import Document, Ranking


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring queries, and the work that they make together."""

    engine: Scheduler
    questions: Sequence[Question]
    work: Work
    started: float

    @classmethod
    def of(cls, engine: Scheduler, questions: Sequence[Question]) -> "Group":
        """The group of some questions."""
        pairs = (pair for question in questions for pair in question.pairs)
        known = together(question.known for question in questions)
        return cls(engine, questions, engine.work(pairs, known=known), time.perf_counter())

    @contextmanager
    def watched(self) -> Iterator[list[Watch]]:
        """A watch for each query, which end together."""
        name = self.engine.scorer.profile.name
        with ExitStack() as stack:
            yield [stack.enter_context(Watch(name, "rank_many", len(question.items))) for question in self.questions]

    def rankings(self, outcome: Outcome, watches: Sequence[Watch]) -> list[Ranking]:
        """A ranking a query."""
        rankings = [question.ranking(self.engine.scorer, outcome, self.started) for question in self.questions]
        for watch, ranking in zip(watches, rankings, strict=True):
            watch.note(ranking.usage, ranking.timings)
        return rankings


def groups_of(
    engine: Scheduler,
    queries: Iterable[str],
    documents_per_query: Iterable[Sequence[Document]],
    wanted: Wanted,
    fields: Sequence[str] | None,
    calibration: Calibration | None,
) -> Iterator[Group]:
    """The queries in groups, made as they are asked for; the arguments are checked at once."""
    check_fields(fields)
    given = each_query(queries, documents_per_query)
    asked = partial(Question.of, engine.scorer, wanted=wanted, fields=fields, calibration=calibration)
    return (Group.of(engine, some) for some in _neighbours(asked, given))


def in_order(groups: Iterator[Group], bar: Any) -> Iterator[Ranking]:
    """The rankings, in the order of their queries; `bar` counts them."""
    with bar:
        for group in groups:
            with group.watched() as watches:
                rankings = group.rankings(group.engine.run(group.work), watches)
            for ranking in rankings:
                bar.update()
                yield ranking


async def in_order_async(groups: Iterator[Group]) -> AsyncIterator[Ranking]:
    """As `in_order`, in an event loop."""
    while (group := await in_thread(partial(next, groups, None))) is not None:
        with group.watched() as watches:
            outcome = await group.engine.arun(group.work)
            rankings = await in_thread(partial(group.rankings, outcome, watches))
        for ranking in rankings:
            yield ranking


def _neighbours(
    asked: Callable[[str, Sequence[Document]], Question],
    given: Iterable[tuple[str, Sequence[Document]]],
) -> Iterator[list[Question]]:
    """Queries with their documents, about one portion of the engine's work together."""
    group: list[Question] = []
    size = 0
    try:
        for query, documents in given:
            question = asked(query, documents)
            group.append(question)
            size += sum(pair.characters for pair in question.pairs)
            if size >= PORTION_CHARACTERS:
                yield group
                group, size = [], 0
    except CrossrankError:
        if group:  # a mistake further on in a stream does not take the good ones before it along
            yield group
        raise
    if group:
        yield group
