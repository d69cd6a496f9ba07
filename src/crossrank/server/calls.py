"""The path of one call: body → dialect → call → model → ranking → answer.

It knows dialects and rankers; not sockets, keys' storage or the engine.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crossrank.errors import UsageError
from crossrank.observe.events import STAGES
from crossrank.server.explaining import Explainer, cost
from crossrank.server.guard import Guard, Room, check_model
from crossrank.server.http import GoneError, Receive, Request, Response, gone, read_body
from crossrank.server.keys import Key
from crossrank.server.models import Models, Opened
from crossrank.server.refusals import LATE, Refusal
from crossrank.server.routes import Route
from crossrank.server.settings import MB, Settings
from crossrank.types import Hit
from crossrank.wire import Answer, Call, Dialect, Item, WireError
from crossrank.wire.cohere import check_known
from crossrank.wire.own import dump_explanation, parse_explain_call
from crossrank.wire.superset import units_of
from crossrank.wire.vllm import parse_score_calls

T = TypeVar("T")
log = logging.getLogger("crossrank.server")
GRACE_S = 1.0  # past its deadline, what a ranker gets to say so itself
PRIORITY_MAX = 999
TIMINGS = (*STAGES, "total")
Trace = Callable[[Request], AbstractContextManager[object]]  # what a call's spans belong to


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was read: what is asked, in which dialect, by whom.

    `queries` are those of a score call that has one for each document; `unit` is that of an explanation.
    """

    dialect: Dialect
    call: Call
    key: Key
    queries: tuple[str, ...] = ()
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Answers calls.

    Attributes:
        settings: of the server.
        models: what answers.
        guard: what stands before.
        translate: what is answered for an error.
        trace: see Trace.
        explainer: makes explanations.
    """

    settings: Settings
    models: Models
    guard: Guard
    translate: Callable[[BaseException], Refusal]
    trace: Trace = lambda _: nullcontext()
    explainer: Explainer = field(default_factory=Explainer)

    async def answer(self, request: Request, route: Route, receive: Receive) -> Response:
        """The answer to a call: a ranking, or what is wrong, in the dialect's own words.

        Raises:
            GoneError: the client has hung up.
        """
        spoken = [route.first]
        try:
            return await self._answer(request, route, receive, spoken)
        except (GoneError, asyncio.CancelledError):
            raise
        except Exception as exc:
            refusal = self.translate(exc)
            request.facts["code"] = refusal.code
            if refusal.status >= 500:
                facts = {"request": request.id, "status": refusal.status}
                log.warning("a call failed", exc_info=exc, extra={"facts": facts})
            failure = refusal.failure(request.id, spoken[-1].name)
            return Response(refusal.status, spoken[-1].dump_error(failure), headers=refusal.headers)

    async def _answer(self, request: Request, route: Route, receive: Receive, spoken: list[Dialect]) -> Response:
        """A ranking. `spoken` is told the dialect as soon as that is known: an error is answered in it, too."""
        key = self.guard.who(request.headers)
        request.facts["key"] = key.name
        with self.guard.room() as room:
            self.guard.check_type(request)
            body = await self._body(request, receive, room)
            spoken.append(route.dialect(body))
            # NOTE: in the event loop's thread whatever its size: msgspec holds the GIL while it reads, so that another
            # thread would make it slower and free nothing. 32 MB take about 20 ms (benchmarks/LOG.md).
            asked = self._read(route, spoken[-1], body, key)
            request.facts |= {"dialect": asked.dialect.name, "documents": len(asked.call.documents)}
            name = self.models.name_of(asked.call.model)
            request.facts["model"] = name
            check_model(key, name)
            _check(asked)
            self._admit(asked, room)
            return await unless_gone(receive, self._worked(request, route, asked, name))

    def _admit(self, asked: Asked, room: Room) -> None:
        if asked.unit is None:
            self.guard.admit(asked.call, asked.key, room, beside=sum(map(len, asked.queries)))
        else:
            pairs, beside = cost(asked.call, asked.unit, room.body)
            self.guard.admit(asked.call, asked.key, room, beside=beside, pairs=pairs)

    async def _body(self, request: Request, receive: Receive, room: Room) -> bytes:
        body = await read_body(
            request,
            receive,
            bytes_max=self.settings.body_mb_max * MB,
            read_s=self.settings.read_s,
            take=lambda size: self.guard.keep(room, size),
        )
        request.facts["body"] = len(body)
        return body

    def _read(self, route: Route, dialect: Dialect, body: bytes, key: Key) -> Asked:
        if self.settings.strict_fields and route.strict:
            check_known(body)
        if route.explains:
            unit, call = parse_explain_call(body)
            return Asked(dialect, call, key, unit=unit)
        if dialect.ranked:
            return Asked(dialect, dialect.parse_call(body), key)
        queries, call = parse_score_calls(body)
        return Asked(dialect, call, key, queries if len(queries) > 1 else ())

    async def _worked(self, request: Request, route: Route, asked: Asked, name: str) -> Response:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout_s + GRACE_S), self.models.held(name) as opened:
                left_s = max(0.0, self.settings.timeout_s - (time.monotonic() - started))
                with self.trace(request):
                    if asked.unit is not None:
                        told = await self.explainer.explain(opened.ranker, asked.call, asked.unit)
                        return Response(200, dump_explanation(told, asked.call.model or name, request.id))
                    answer, timings = await self._asked(opened, asked, left_s)
        except TimeoutError:
            raise Refusal(504, LATE, f"there was no answer within {self.settings.timeout_s:g} s") from None
        repeated = asked.call.documents if asked.call.return_documents or route.documents else ()
        items = tuple(_item(item, repeated) for item in answer.items)
        answer = Answer(items, asked.call.model or name, request.id, answer.tokens, units_of(len(asked.call.documents)))
        request.facts |= {"tokens": answer.tokens, "stages": timings}
        return Response(200, asked.dialect.dump_ranking(answer), headers=_timing(asked.dialect, timings, answer))

    async def _asked(self, opened: Opened, asked: Asked, left_s: float) -> tuple[Answer, dict[str, float]]:
        call = asked.call
        if asked.queries:
            return await _scored(opened, asked), {}
        priority = min(PRIORITY_MAX, max(0, call.priority))
        more = {"priority": -priority} if opened.prioritised and priority else {}
        uncut = call.truncate is False  # whether all was read is seen of all hits only
        started = time.monotonic()
        ranking = await opened.ranker.arank(
            call.query,
            call.documents,
            top_k=None if uncut else call.top_n,
            fields=call.fields,
            instruction=call.instruction,
            deadline_s=left_s,
            **more,
        )
        late = time.monotonic() - started >= left_s
        raw = call.raw_scores or asked.dialect.logits
        items = [_scored_item(hit, raw=raw, late=late, uncut=uncut) for hit in ranking]
        found = Answer(tuple(items[: call.top_n]), tokens=ranking.usage.get("tokens", 0))
        return found, {stage: ranking.timings[stage] for stage in TIMINGS if stage in ranking.timings}


async def _scored(opened: Opened, asked: Asked) -> Answer:
    """A score for each query and its document."""
    pairs = list(zip(asked.queries, asked.call.documents, strict=True))
    scores = await opened.ranker.ascore(pairs, raw=asked.call.raw_scores)
    # NaN is what a vendor's ranker says of a text that the vendor does not take.
    numbers = (0.0 if math.isnan(score) else float(score) for score in scores)
    return Answer(tuple(Item(index, number) for index, number in enumerate(numbers)))


def _check(asked: Asked) -> None:
    """What a dialect allows and a reranker cannot do, in the words that clients look for."""
    call = asked.call
    if not call.documents:
        raise WireError("list of documents must not be empty")
    for query in asked.queries or (call.query,):
        if not query.strip():
            raise WireError("query must not be empty or be only whitespace")
    if call.top_n is not None and call.top_n < 1:
        raise WireError(f"the number of results is {call.top_n}; it must be at least 1, or be left out for all")
    if asked.queries and call.instruction is not None:
        raise WireError("an instruction goes with one query, not with several")


def _scored_item(hit: Hit, *, raw: bool, late: bool, uncut: bool) -> Item:
    """The result of a hit; a text that a vendor does not take has come last, and its score is 0."""
    if hit.score is None and late:
        raise Refusal(504, LATE, "not all documents could be read in time; send fewer, or try again later")
    if uncut and hit.truncated:
        raise UsageError(f"too many tokens: documents[{hit.index}] does not fit, and it must not be cut")
    if raw and hit.logit is None:
        raise UsageError("this model gives scores, no raw logits; leave that out")
    score = hit.logit if raw else hit.score
    return Item(hit.index, 0.0 if score is None else score, None, hit.tokens, hit.truncated, hit.passage)


def _item(item: Item, documents: Sequence[Any]) -> Item:
    """The item, with its document where those are repeated."""
    if not documents:
        return item
    return Item(item.index, item.score, documents[item.index], item.tokens, item.truncated, item.passage)


def _timing(dialect: Dialect, timings: dict[str, float], answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """Server-Timing, in milliseconds; and the headers of the dialect's own."""
    said = ", ".join(f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in timings.items())
    found = [(b"server-timing", said.encode())] if said else []
    own = dialect.timing_headers
    found += [(own[stage].encode(), b"%d" % round(1000 * timings[stage])) for stage in timings if stage in own]
    if dialect.tokens_header:
        found.append((dialect.tokens_header.encode(), b"%d" % (answer.tokens or 0)))
    return tuple(found)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled as soon as its client hangs up, or when it is itself cancelled.

    Raises:
        GoneError: the client has hung up.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GoneError
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
