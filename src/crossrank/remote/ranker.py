"""The remote reranker that people hold: the same calls as the local one, and each of them awaitable.

It knows documents and rankings; not JSON, statuses or how a vendor is reached.
"""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import ThresholdOn, Wanted, check_priority, check_query, deadline_of
from crossrank.awaiting import in_thread
from crossrank.composition.stage import Keeps
from crossrank.documents.texts import as_documents, check_fields
from crossrank.engine.cache import ScoreCache
from crossrank.errors import ClosedError, UsageError
from crossrank.explain import Explanation, Unit, explain
from crossrank.lifetime import AsyncCloses
from crossrank.observe.watch import Watch
from crossrank.progress import ranking_bar
from crossrank.rankers import FAILURES, Fallback, aask, ask, instead
from crossrank.remote.budget import Budget
from crossrank.remote.costs import NANO, Price
from crossrank.remote.limits import Limits
from crossrank.remote.loop import CLOSED, all_or_error
from crossrank.remote.options import RemoteOptions, check_instruction, check_wanted
from crossrank.remote.question import Question, by_query, scores_of
from crossrank.remote.retry import Retry
from crossrank.remote.scorer import Asked, Outcome, RemoteScorer
from crossrank.remote.spec import RemoteFacts, Target, target_of
from crossrank.remote.streams import Work, in_order, in_order_async, works
from crossrank.remote.worker import Worker
from crossrank.types import Document, Ranking

TIMEOUT_S = 60.0
CONCURRENCY = 16


class RemoteReranker(Keeps, AsyncCloses):
    """A reranker behind an API. Share one between threads and event loops; it can be used after a fork.

    Args:
        model: "vendor:MODEL" as in "cohere:rerank-v4.0-pro", or "http://host:port" of a server.
        api_key: the key; by default the vendor's own environment variable. It is in no repr, message, log or pickle.
        base_url: another address for the vendor's dialect: a gateway, or a server of your own.
        dialect: how a server is spoken to, when it cannot tell.
        timeout_s: the longest that one try takes; a call takes at most that, times the tries, and the waits between.
        retry: how often a failed call is tried again, and after what waits.
        concurrency: calls that are under way at a time; more wait.
        instruction: what the model shall understand by relevance, for vendors that take one.
        cache: where scores are kept, as in `Reranker`; None keeps nothing. What is known costs nothing.
        limits: of one call, in place of the vendor's documented ones.
        price: for the estimate of costs, in place of the table's.
        fallback: what answers where the vendor fails or comes too late: another ranker, or "input-order" for the
            documents as they came; `Ranking.fallback` says why.
        cost_max_usd: dollars that this object may spend, by estimate: a query that would go beyond is not sent. A
            `Budget` is shared by all that are given it.

    Raises:
        UsageError, ArgumentTypeError: an option has a value that cannot be taken; there is no key.
        MissingExtra: the libraries are not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        dialect: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retry: Retry | None = None,
        concurrency: int = CONCURRENCY,
        instruction: str | None = None,
        cache: str | ScoreCache | None = "memory",
        limits: Limits | None = None,
        price: Price | None = None,
        fallback: Fallback | None = None,
        cost_max_usd: float | Budget | None = None,
    ) -> None:
        self._target: Target = target_of(model, api_key=api_key, base_url=base_url, dialect=dialect)
        self._model = model
        self._key_given = api_key is not None
        self._given: dict[str, Any] = {
            "base_url": base_url,
            "dialect": dialect,
            "timeout_s": timeout_s,
            "retry": retry,
            "concurrency": concurrency,
            "instruction": instruction,
            "cache": cache,
            "limits": limits,
            "price": price,
            "fallback": fallback,
            "cost_max_usd": cost_max_usd,
        }
        self._options = options = RemoteOptions.of(self._given)
        if cost_max_usd is not None and (options.price or self._target.price) is None:
            raise UsageError(
                f"cost_max_usd was given, but no price of {model!r} is known; give price=Price(...) too, or --price"
            )
        target = self._target  # the worker must not hold this object, or nothing would ever be collected
        self._worker = Worker(lambda: RemoteScorer(target, options))
        self._spent: dict[str, int] = {}

    def rank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """The documents in order of relevance to the query; all are scored, so all are billed, whatever `top_k` is.

        Args:
            query: what is asked; not empty.
            documents: strings, mappings, or objects with a text.
            top_k: at most this many hits; all by default.
            threshold: only hits with at least this score.
            threshold_on: "score"; there is no calibration of a vendor's scores, so "probability" is refused.
            fields: of mappings, the fields the model reads, in this order.
            instruction: in place of the one given to the constructor.
            deadline_s: seconds until it returns; documents without a score by then follow in input order.
            priority: for the fallback, which is given it. A vendor is not told; calls go out in the order they come.

        Raises:
            UsageError, ArgumentTypeError: a value or type that cannot be taken; items are named by their index.
            VendorError: the vendor refuses, fails, or answers nonsense.
            DeadlineError: the deadline passed before there was any score.
            BudgetError: this would cost more than what is left of `cost_max_usd`; nothing is sent.
        """
        wanted = check_wanted(top_k, threshold, threshold_on)
        question = self._question(query, documents, wanted, fields, instruction, deadline_s, priority)
        try:
            with Watch(self._model, "rank", len(question.items)) as watch:
                return self._worker.opened()[0].run(self._ranked(question, watch))
        except FAILURES as exc:
            if (fallback := self._options.fallback) is None:
                raise
            return instead(ask(fallback, question.call(documents)), exc)

    async def arank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """As `rank`, awaitable; cancelling it ends the call to the vendor."""
        wanted = check_wanted(top_k, threshold, threshold_on)
        question = self._question(query, documents, wanted, fields, instruction, deadline_s, priority)
        return await self._answered("rank", question, documents)

    def rank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> Iterator[Ranking]:
        """A ranking a query, in order, several under way at a time; both iterables may be streams."""
        todo = self._todo(queries, documents_per_query, check_wanted(top_k, threshold, threshold_on), fields)
        bar = ranking_bar(queries, shown=show_progress_bar)
        return in_order(todo, self._worker.opened()[0].start, self._options.concurrency, bar)

    def arank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
    ) -> AsyncIterator[Ranking]:
        """As `rank_many`, an asynchronous iterator."""
        todo = self._todo(queries, documents_per_query, check_wanted(top_k, threshold, threshold_on), fields)
        return in_order_async(todo, self._worker.opened()[0].start, self._options.concurrency)

    def score(self, pairs: Iterable[tuple[str, Document]], *, raw: bool = False) -> NDArray[np.float32]:
        """Scores float32 [n] of (query, document) pairs, in the caller's order; one call for each different query.

        A document without text is NaN where the vendor refuses such. `raw` gives logits, where there are any.
        """
        asked, checked = by_query(pairs, self._options.instruction, raw=raw)
        with Watch(self._model, "score", len(checked)) as watch:
            return scores_of(checked, self._worker.opened()[0].run(self._scored(asked, watch)))

    def explain(
        self, query: str, document: Document, *, unit: Unit = "sentence", fields: Sequence[str] | None = None
    ) -> Explanation:
        """What each sentence or word of a document adds to its score; see `crossrank.explain.explain`."""
        return explain(self, query, document, unit=unit, fields=fields)

    async def ascore(self, pairs: Iterable[tuple[str, Document]], *, raw: bool = False) -> NDArray[np.float32]:
        """As `score`, awaitable."""
        asked, checked = by_query(pairs, self._options.instruction, raw=raw)
        with Watch(self._model, "score", len(checked)) as watch:
            return scores_of(checked, await (await self._worker.aopened())[0].arun(self._scored(asked, watch)))

    @property
    def facts(self) -> RemoteFacts:
        """Who is asked, where, and how."""
        return self._target.facts

    @property
    def spent(self) -> dict[str, int]:
        """What all calls of this object together used, in the words of a ranking's `usage`."""
        return dict(self._spent)

    @property
    def spent_usd(self) -> float:
        """The estimated dollars of all calls of this object, as far as prices are known."""
        return self._spent.get("cost_nanousd", 0) / NANO

    def close(self) -> None:
        """Close the connections. Calls in progress finish first; later ones raise ClosedError."""
        self._worker.close()

    async def aclose(self) -> None:
        """As `close`, awaitable."""
        await in_thread(self.close)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its options, without the key: the copy takes it from the environment."""
        if self._worker.closed:
            raise ClosedError(CLOSED)
        if self._key_given and not self._target.vendor.key_variables:
            raise UsageError(
                "A key that was given as api_key= is not pickled, and a server given by its URL has no environment "
                "variable for one. Name the kind of server, as in 'vllm:MODEL' with base_url=, and set its variable."
            )
        return (_reopened, (type(self), self._model, self._given))

    def __repr__(self) -> str:
        """The model and where it is asked; never the key."""
        closed = ", closed" if self._worker.closed else ""
        return f"RemoteReranker({self._model!r}, {self._target.base_url}{closed})"

    def _question(
        self,
        query: str,
        documents: Sequence[Document],
        wanted: Wanted,
        fields: Sequence[str] | None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Question:
        """The question, checked in the caller's own thread before anything is sent."""
        deadline = deadline_of(deadline_s)
        check_query(query)
        question = Question.of(
            query,
            as_documents(documents, fields),
            wanted=wanted,
            fields=fields,
            priority=check_priority(priority),
            instruction=check_instruction(instruction) or self._options.instruction,
            deadline=deadline,
        )
        question.call(documents).check_fits(self._options.fallback)
        return question

    async def _answered(self, call: str, question: Question, documents: Sequence[Document]) -> Ranking:
        """The vendor's ranking, or that of the fallback."""
        try:
            with Watch(self._model, call, len(question.items)) as watch:
                return await (await self._worker.aopened())[0].arun(self._ranked(question, watch))
        except FAILURES as exc:
            if (fallback := self._options.fallback) is None:
                raise
            return instead(await aask(fallback, question.call(documents)), exc)

    async def _ranked(self, question: Question, watch: Watch) -> Ranking:
        started = time.perf_counter()
        outcome = await self._outcome(question.asked, watch)
        return question.ranking(outcome, time.perf_counter() - started)

    async def _scored(self, asked: Sequence[Asked], watch: Watch) -> dict[str, Outcome]:
        outcomes = await all_or_error(self._outcome(one, watch) for one in asked)
        return {one.query: outcome for one, outcome in zip(asked, outcomes, strict=True)}

    async def _outcome(self, asked: Asked, watch: Watch) -> Outcome:
        if not asked.texts:
            return Outcome(usage={"pairs": 0, "cached": 0})
        outcome = Outcome()
        try:
            await self._worker.opened()[1].score(asked, outcome)
        finally:  # what was answered before a failure is billed all the same
            for name, count in outcome.usage.items():
                self._spent[name] = self._spent.get(name, 0) + count
            watch.note(outcome.usage, {"run": outcome.run_s})
        return outcome

    def _todo(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        wanted: Wanted,
        fields: Sequence[str] | None,
    ) -> Iterator[Work]:
        """The work of many rankings, its arguments checked."""
        check_fields(fields)
        self._worker.opened()

        async def ranked(query: str, documents: Sequence[Document]) -> Ranking:
            question = self._question(query, documents, wanted, fields)
            return await self._answered("rank_many", question, documents)

        return works(queries, documents_per_query, ranked)


def open_remote(model: str, given: Mapping[str, Any]) -> RemoteReranker:
    """The reranker of a remote name and of what `Reranker(...)` was given beside it.

    Raises:
        UsageError: an option is about a model on this machine, or is none at all.
    """
    known = [name for name in signature(RemoteReranker).parameters if name != "model"]
    if unfit := [name for name in given if name not in known]:
        raise UsageError(
            f"{', '.join(unfit)}: not an option of {model!r}, which is asked over HTTP; "
            f"its options are {', '.join(known)}"
        )
    return RemoteReranker(model, **given)


def _reopened(kind: type[RemoteReranker], model: str, given: dict[str, Any]) -> RemoteReranker:
    return kind(model, **given)
