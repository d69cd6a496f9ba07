"""Texts to scores through a vendor: what is known is recalled, the rest goes out in calls that keep to the limits.

It knows texts, calls and items; not the caller's documents, nor rankings. It lives in one event loop.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from crossrank.engine.cache import cache_keys
from crossrank.engine.pair import Pair, Scored
from crossrank.errors import DeadlineError, QueryTooLongError, UsageError
from crossrank.remote.client import Client
from crossrank.remote.detect import Route, find_route
from crossrank.remote.failures import VendorError
from crossrank.remote.limits import Limits, split
from crossrank.remote.loop import all_or_error
from crossrank.remote.merge import by_text
from crossrank.remote.options import RemoteOptions
from crossrank.remote.spec import Target
from crossrank.wire import Answer, Call, Item, WireError


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a vendor: a query, its documents' texts, all different, and how they are to be read.

    `objects` are the documents, by text, for vendors that read fields by themselves.
    """

    query: str
    texts: tuple[str, ...]
    instruction: str | None = None
    raw: bool = False
    fields: tuple[str, ...] | None = None
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deadline: float | None = None


@dataclass(slots=True)
class Outcome:
    """Items by text; a text that is in neither came too late. `unread` are those that the vendor does not take.

    Attributes:
        items: by text.
        unread: texts without content, where the vendor refuses those.
        cut: texts of which the end was not sent.
        usage: counts, as far as the vendor says them.
        model: what gave the scores.
        run_s: seconds spent waiting for the vendor, added up over calls.
    """

    items: dict[str, Item] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    usage: dict[str, int] = field(default_factory=dict)
    model: str = ""
    run_s: float = 0.0

    def count(self, **counts: int | None) -> None:
        """Add to the usage; what is None is unknown and stays out."""
        for name, value in counts.items():
            if value is not None:
                self.usage[name] = self.usage.get(name, 0) + value


class RemoteScorer:
    """Scores through one target. Made, used and closed in one event loop."""

    def __init__(self, target: Target, options: RemoteOptions) -> None:
        self._target = target
        self._options = options
        self._client = Client(target, timeout_s=options.timeout_s, retry=options.retry, concurrency=options.concurrency)
        self._route: Route | None = None
        self._finding = asyncio.Lock()

    async def score(self, asked: Asked, outcome: Outcome) -> None:
        """Put the items of all texts into `outcome`, as far as the deadline allows; what it has counts if this fails.

        Raises:
            UsageError: something is asked that the vendor does not have.
            VendorError: a call failed, or was answered with nonsense.
            DeadlineError: the deadline passed before there was any score.
            BudgetError: the calls would cost more than what is left; none is sent.
        """
        route = await self._found(asked.deadline)
        _check(asked, route, self._limits(route))
        outcome.model = route.model or self._target.model or self._target.vendor.title
        if route.vendor.empty_refused:
            outcome.unread = frozenset(text for text in asked.texts if not text.strip())
        wanted = [text for text in asked.texts if text not in outcome.unread]
        keys = self._keys(route, asked, wanted)
        outcome.items.update(await self._recall(keys))
        outcome.count(cached=len(outcome.items))
        fresh = [text for text in wanted if text not in outcome.items]
        parts = split(asked.query, fresh, self._limits(route))
        texts = [fresh[part.start : part.stop] for part in parts]
        with self._reserved(asked.query, texts, outcome):
            calls = [self._part(route, asked, some, outcome, keys) for some in texts]
            late = [error for error in await all_or_error(calls) if error is not None]
        outcome.count(pairs=0)
        if late and not outcome.items:
            raise late[0]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _found(self, deadline: float | None) -> Route:
        """The way to the target, found once."""
        if self._route is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                async with asyncio.timeout(left), self._finding:
                    self._route = self._route or await find_route(self._client, self._target)
            except TimeoutError:
                raise DeadlineError(f"deadline_s passed before {self._target.vendor.title} answered") from None
        return self._route

    def _limits(self, route: Route) -> Limits:
        return self._options.limits or route.limits

    async def _part(
        self, route: Route, asked: Asked, texts: Sequence[str], outcome: Outcome, keys: Mapping[str, bytes]
    ) -> DeadlineError | None:
        """One call: its items go into the outcome and the cache at once, whatever becomes of the other calls."""
        started = time.perf_counter()
        characters_max = self._limits(route).document_characters_max
        outcome.cut |= {text for text in texts if characters_max is not None and len(text) > characters_max}
        body = route.dialect.dump_call(_call(route, asked, [text[:characters_max] for text in texts], texts))
        try:
            answered = await self._client.post(route.url, body, asked.deadline, again=lambda: outcome.count(retries=1))
        except DeadlineError as exc:
            return exc
        try:
            answer = route.dialect.parse_ranking(answered)
            found = by_text(answer, texts)
        except WireError as exc:
            raise VendorError.of(
                route.vendor.title,
                f"{route.vendor.title} answered what cannot be a ranking: {exc}. Check base_url= and dialect=.",
                status=200,
            ) from exc
        outcome.items.update(found)
        outcome.run_s += time.perf_counter() - started
        outcome.count(pairs=len(texts), requests=1, retries=0)
        outcome.count(tokens=answer.tokens, search_units=answer.search_units, cost_nanousd=self._cost(answer))
        await self._remember({keys[text]: item for text, item in found.items() if text in keys})
        return None

    @contextmanager
    def _reserved(self, query: str, calls: Sequence[Sequence[str]], outcome: Outcome) -> Iterator[None]:
        """All calls of a query go out, or none: half a ranking would be money for nothing."""
        budget, price = self._options.budget, self._options.price or self._target.price
        if budget is None or price is None:
            yield
            return
        expected = sum(price.expected_nanousd(query, texts) for texts in calls)
        budget.reserve(expected)
        try:
            yield
        finally:
            budget.settle(expected, outcome.usage.get("cost_nanousd", 0))

    def _cost(self, answer: Answer) -> int | None:
        price = self._options.price or self._target.price
        return price.nanousd(search_units=answer.search_units, tokens=answer.tokens) if price else None

    def _keys(self, route: Route, asked: Asked, texts: Sequence[str]) -> dict[str, bytes]:
        """The cache's keys by text; none where a score depends on the other documents."""
        if self._options.cache is None or (route.model or "").startswith(route.vendor.listwise or ("\0",)):
            return {}
        how = (route.dialect.name, route.url, route.model, asked.raw, asked.fields)
        model = blake2b(repr(how).encode(), digest_size=16).digest()
        instruction = asked.instruction or ""
        keys = cache_keys(model, (Pair(asked.query, text, instruction) for text in texts))
        return dict(zip(texts, keys, strict=True))

    async def _recall(self, keys: Mapping[str, bytes]) -> dict[str, Item]:
        cache = self._options.cache
        if cache is None or not keys:
            return {}
        wanted = list(keys.values())
        # What may wait for a disk or a network gets a thread.
        known = await asyncio.to_thread(cache.get_many, wanted) if cache.waits else cache.get_many(wanted)
        return {text: Item(0, known[key].logit) for text, key in keys.items() if key in known}

    async def _remember(self, items: Mapping[bytes, Item]) -> None:
        cache = self._options.cache
        if cache is None or not items:
            return
        scored = {key: Scored(item.score, 0, truncated=False, passage=(0, 0), cost=0) for key, item in items.items()}
        if cache.waits:
            await asyncio.to_thread(cache.put_many, scored)
        else:
            cache.put_many(scored)


def _check(asked: Asked, route: Route, limits: Limits) -> None:
    """Raise UsageError for what the vendor does not have, before anything is paid for."""
    if asked.instruction is not None and route.vendor.instruction == "none":
        raise UsageError(
            f"{route.vendor.title} takes no instruction; leave instruction= out, or write it into the query yourself"
        )
    if asked.raw and not route.dialect.logits and "raw_scores" not in route.dialect.calls:
        raise UsageError(f"{route.vendor.title} gives scores, no raw logits; leave raw=True out")
    if limits.query_characters_max is not None and len(asked.query) > limits.query_characters_max:
        raise QueryTooLongError(
            f"the query has {len(asked.query)} characters; {route.vendor.title} takes {limits.query_characters_max}"
        )


def _call(route: Route, asked: Asked, sent: Sequence[str], texts: Sequence[str]) -> Call:
    """The call, in the vendor's own way with instructions and fields."""
    query, instruction = asked.query, asked.instruction
    if instruction is not None and route.vendor.instruction == "query":
        query, instruction = f"{instruction}\nQuery: {query}", None
    by_fields = route.vendor.rank_fields and asked.fields is not None and all(text in asked.objects for text in texts)
    return Call(
        query,
        tuple(asked.objects[text] for text in texts) if by_fields else tuple(sent),
        model=route.model,
        fields=asked.fields if by_fields else None,
        instruction=instruction,
        truncate=route.vendor.truncate,
        raw_scores=asked.raw,
    )
