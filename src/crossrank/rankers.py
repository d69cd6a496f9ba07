"""What holds for any ranker: how it is asked, in time and awaited, and what may be answered where it fails.

It knows the protocol of rankers; not which one it is.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter, signature
from typing import Any, Literal, Protocol

from crossrank.arguments import ThresholdOn, Wanted, check_priority, check_query, deadline_of
from crossrank.awaiting import in_thread
from crossrank.documents.texts import as_documents
from crossrank.errors import (
    ArgumentTypeError,
    CheckpointError,
    DeadlineError,
    NotFiniteError,
    OutOfMemoryError,
    OverloadError,
    RemoteError,
    ReplicaError,
    UsageError,
)
from crossrank.types import Document, Hit, Ranker, Ranking

INPUT_ORDER = "input-order"
Fallback = Ranker | Literal["input-order"]
# What another ranker may do better; not the caller's mistakes, which it would repeat.
FAILURES = (CheckpointError, NotFiniteError, OutOfMemoryError, ReplicaError, RemoteError, OverloadError, DeadlineError)
HINTS = ("deadline_s", "priority")  # say when, not what: a ranker that does not know them answers all the same


class ManyRanker(Protocol):
    """What ranks many queries in a stream."""

    def rank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        fields: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> Iterator[Ranking]:
        """A ranking a query, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `rank`, checked.

    Attributes:
        query: what is asked.
        documents: as the caller gave them.
        top_k: see `Reranker.rank`, as the following.
        threshold: of the score.
        fields: of mappings.
        instruction: in place of the ranker's own.
        deadline: the time.monotonic() at which it ends.
        threshold_on: what the threshold is on.
        priority: among callers who wait at the same time.
    """

    query: str
    documents: Sequence[Document]
    top_k: int | None = None
    threshold: float | None = None
    fields: Sequence[str] | None = None
    instruction: str | None = None
    deadline: float | None = None
    threshold_on: ThresholdOn = "score"
    priority: int = 0

    @classmethod
    def of(
        cls,
        query: str,
        documents: Sequence[Document],
        top_k: int | None = None,
        threshold: float | None = None,
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        threshold_on: ThresholdOn = "score",
        priority: int = 0,
    ) -> "Call":
        """The call, of what a caller gave."""
        deadline = deadline_of(deadline_s)
        wanted, priority = Wanted.of(top_k, threshold, threshold_on), check_priority(priority)
        check_query(query)
        return cls(
            query, documents, wanted.top_k, wanted.threshold, fields, instruction, deadline, threshold_on, priority
        )

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, at least 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def arguments(self, rank: Callable[..., object]) -> dict[str, Any]:
        """What was given beside query and documents, as far as a ranker's own method knows it.

        Raises:
            UsageError: it does not know an option that would change its answer.
        """
        given = {
            "top_k": self.top_k,
            "threshold": self.threshold,
            "threshold_on": None if self.threshold_on == "score" else self.threshold_on,
            "fields": self.fields,
            "instruction": self.instruction,
            "deadline_s": self.left_s,
            "priority": self.priority or None,
        }
        given = {name: value for name, value in given.items() if value is not None}
        known = _options_of(rank) if given else None
        if known is None:
            return given
        if foreign := [name for name in given if name not in known and name not in HINTS]:
            who = getattr(rank, "__self__", rank)
            raise UsageError(
                f"{', '.join(foreign)}: not an option of {who!r}; leave it out, or ask rankers that have it"
            )
        return {name: value for name, value in given.items() if name in known}

    def check_fits(self, ranker: Fallback | None) -> None:
        """Raise where `arguments` would: before anything is asked, not when the ranker is needed."""
        if ranker is not None and not isinstance(ranker, str):
            self.arguments(ranker.rank)


def ask(ranker: Fallback, call: Call) -> Ranking:
    """The ranker's answer."""
    if isinstance(ranker, str):
        return in_input_order(call)
    return ranker.rank(call.query, call.documents, **call.arguments(ranker.rank))


async def aask(ranker: Fallback, call: Call) -> Ranking:
    """As `ask`, awaitable: a ranker that cannot be awaited is asked in a thread."""
    if isinstance(ranker, str):
        return in_input_order(call)
    awaited: Callable[..., Awaitable[Ranking]] | None = getattr(ranker, "arank", None)
    if awaited is not None:
        return await awaited(call.query, call.documents, **call.arguments(awaited))
    return await in_thread(partial(ask, ranker, call))


def instead(ranking: Ranking, error: BaseException) -> Ranking:
    """The answer of another ranker than the one that was asked, saying why."""
    return replace(ranking, fallback=f"{type(error).__name__}: {error}")


def in_input_order(call: Call) -> Ranking:
    """The documents as they came, without scores."""
    items = as_documents(call.documents, call.fields)[: call.top_k]
    hits = (Hit(i + 1, i, score=None, logit=None, document=x.document, text=x.text) for i, x in enumerate(items))
    return Ranking(tuple(hits), call.query, usage={"documents": len(call.documents)})


def check_ranker(ranker: Any, name: str) -> Fallback:
    """The ranker, if it is one."""
    if isinstance(ranker, str):
        if ranker != INPUT_ORDER:
            raise UsageError(
                f"{name}={ranker!r} is not known; give a ranker, as Reranker({ranker!r}), or 'input-order'"
            )
        return "input-order"
    if not callable(getattr(ranker, "rank", None)) or isinstance(ranker, type):
        raise ArgumentTypeError(f"{name} must have a method rank(query, documents, top_k=); {ranker!r} has none")
    return ranker  # type: ignore[no-any-return]


def _options_of(rank: Callable[..., object]) -> frozenset[str] | None:
    """The names that a method takes; None where it takes any."""
    try:
        parameters = signature(rank).parameters
    except (TypeError, ValueError):  # of another language, and it does not say
        return None
    return None if any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()) else frozenset(parameters)
