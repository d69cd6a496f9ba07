"""The ASGI application: a request finds its route, is answered, counted and logged.

Raw ASGI: of a framework it would use the routing alone, which is one look into a table here. It knows no dialect and no
ranker.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from crossrank.errors import CrossrankError
from crossrank.server.calls import Calls
from crossrank.server.guard import Guard
from crossrank.server.http import GoneError, Receive, Request, Response, Scope, Send
from crossrank.server.metrics import Metrics
from crossrank.server.models import Models
from crossrank.server.pages import Pages
from crossrank.server.refusals import INVALID, UNAVAILABLE, Refusal
from crossrank.server.routes import ROUTES
from crossrank.server.settings import Settings
from crossrank.wire import SUPERSET

GONE = 499  # in metrics and logs, as nginx has it: the client has hung up
QUIET = ("/health", "/ready", "/ping", "/metrics")  # asked every few seconds: logged only when they fail
ALLOWED_HEADERS = b"authorization, content-type, x-request-id, api-key"
log = logging.getLogger("crossrank.server")


class App:
    """One server process's application.

    Attributes:
        models: what answers.
        guard: what stands before.
        metrics: what is counted.
        broken: why the first model could not be opened at the start.
        when_broken: called then.

    Args:
        settings: of the server.
        models: what answers.
        guard: what stands before.
        metrics: what is counted.
        calls: answers calls.
        ends: called when the server ends.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        guard: Guard,
        metrics: Metrics,
        calls: Calls,
        ends: Sequence[Callable[[], None]],
    ) -> None:
        self.models = models
        self.guard = guard
        self.metrics = metrics
        self._settings = settings
        self._calls = calls
        self._ends = ends
        self._pages = Pages(settings, models, guard, metrics)
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        self._warming: asyncio.Task[None] | None = None
        self.broken: BaseException | None = None
        self.when_broken: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one stage of the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(Request.of(scope), receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if not self._settings.lazy:  # beside: /health answers while the model is opened, and /ready says no
                    self._warming = asyncio.create_task(self._warm())
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def close(self) -> None:
        """Free the models, and end what listens to them."""
        if self._warming is not None:
            self._warming.cancel()
        await self.models.close()
        for end in self._ends:
            end()

    async def _warm(self) -> None:
        """Open the first model; if it cannot be opened, there is nothing to serve."""
        try:
            async with self.models.held(self.models.names[0]):
                log.info("ready", extra={"facts": {"models": self.models.names}})
        except CrossrankError as exc:
            self.broken = exc.__cause__ or exc
            self.when_broken()

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        self.metrics.came()
        status = GONE
        try:
            response = await self._answer(request, receive)
            status = response.status
            await self._send(request, response, send)
        except GoneError:
            pass
        except asyncio.CancelledError:  # the time that calls get when the server stops is over
            if status == GONE and self.guard.draining:
                status = 503
                refusal = Refusal(status, UNAVAILABLE, "the server is stopping", retry_after_s=1, close=True)
                await self._send(request, _refused(request, refusal), send)
            raise
        finally:
            self._note(request, status)

    async def _answer(self, request: Request, receive: Receive) -> Response:
        path, method = request.path, request.method
        request.facts["route"] = "other"
        if method == "POST" and path in ROUTES:
            request.facts["route"] = path
            return await self._calls.answer(request, ROUTES[path], receive)
        if method == "OPTIONS" and self._origins:
            return Response(204, headers=((b"access-control-max-age", b"600"),))
        page = self._pages.find(path)
        try:
            if page is not None and method in ("GET", "HEAD"):
                request.facts["route"] = page[0]
                return self._pages.answer(request, *page)
            refusal = _unknown(method, path, (["POST"] if path in ROUTES else []) + (["GET", "HEAD"] if page else []))
        except Refusal as exc:
            refusal = exc
        request.facts["code"] = refusal.code
        return _refused(request, refusal)

    async def _send(self, request: Request, response: Response, send: Send) -> None:
        headers = [
            (b"content-type", response.content_type),
            (b"content-length", str(len(response.body)).encode()),
            (b"x-request-id", request.id.encode()),
            (b"x-content-type-options", b"nosniff"),
            *response.headers,
        ]
        if self.guard.draining and (b"connection", b"close") not in headers:
            headers.append((b"connection", b"close"))
        if (origin := request.headers.get(b"origin")) in self._origins or b"*" in self._origins:
            headers += [
                (b"access-control-allow-origin", origin or b"*"),
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", ALLOWED_HEADERS),
                (b"access-control-expose-headers", b"x-request-id, retry-after, server-timing"),
                (b"vary", b"origin"),
            ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _note(self, request: Request, status: int) -> None:
        """Count the request, and write its line into the log."""
        seconds, route = time.perf_counter() - request.started, request.facts.get("route", "other")
        self.metrics.answered(route, status, seconds, request.facts)
        if self._settings.log_calls and (status >= 400 or route not in QUIET):
            facts = {"request": request.id, "method": request.method, "status": status, "ms": round(1000 * seconds, 2)}
            log.info("call", extra={"facts": facts | request.facts})


def _unknown(method: str, path: str, taken: list[str]) -> Refusal:
    """What is said of a path that does not take a method, or that there is not."""
    if not taken:
        return Refusal(404, INVALID, f"there is no {path[:100]}; GET /docs lists what there is")
    methods = ", ".join(taken)
    return Refusal(405, INVALID, f"{path[:100]} takes {methods}, not {method}", allow=methods)


def _refused(request: Request, refusal: Refusal) -> Response:
    """A refusal outside of any dialect."""
    failure = refusal.failure(request.id, SUPERSET.name)
    return Response(refusal.status, SUPERSET.dump_error(failure), headers=refusal.headers)
