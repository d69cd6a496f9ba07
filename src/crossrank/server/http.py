"""A request and a response as values, and a body that is read within bounds.

It knows ASGI, and nothing of rerankers.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from crossrank.server.refusals import Refusal

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
IDENTITY = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # a request's id of a caller: it goes into headers and logs
JSON = b"application/json"


class GoneError(Exception):
    """The client has hung up: nobody waits for an answer."""


@dataclass(slots=True)
class Request:
    """One request, and what becomes known of it on the way, for its line in the log.

    Attributes:
        method: such as "POST".
        path: without a trailing slash; "/" for the root.
        headers: by name in lower case; of equal ones the last.
        id: the caller's own X-Request-Id where it is sound, else a new one.
        started: time.perf_counter() when it came.
        facts: what the log says of it: counts and names, never a text.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    id: str
    started: float
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: Scope) -> "Request":
        """The request of an ASGI scope."""
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        identity = given.decode() if IDENTITY.fullmatch(given) else uuid4().hex
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/") or "/"
        return cls(scope["method"], path, headers, identity, time.perf_counter())


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def read_body(
    request: Request, receive: Receive, *, bytes_max: int, read_s: float, take: Callable[[int], None]
) -> bytes:
    """The body, refused with 413 as soon as it is known to be too large; `take` is told of all bytes that are kept.

    Who sends up to twice as much is read to the end, so as to get to see the answer; nothing of it is kept.

    Raises:
        Refusal: too large, or too slow.
        GoneError: the client has hung up.
    """
    said = request.headers.get(b"content-length", b"0")
    expected = int(said) if said.isdigit() else 0
    body = bytearray()
    try:
        async with asyncio.timeout(read_s):
            if expected > bytes_max:
                if b"expect" not in request.headers:
                    await _drain(receive, 2 * bytes_max)  # as far as where the headers do not say how much comes
                raise Refusal.too_large(f"the body has {expected:,} bytes; {bytes_max:,} are taken")
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                part, more = message.get("body", b""), message.get("more_body", False)
                if len(body) + len(part) > bytes_max:
                    if more:
                        await _drain(receive, bytes_max)
                    raise Refusal.too_large(f"the body has more than {bytes_max:,} bytes, which are taken")
                take(len(part))
                body += part
    except TimeoutError:
        raise Refusal.too_slow(f"the request did not arrive within {read_s:g} s") from None
    return bytes(body)


async def _drain(receive: Receive, bytes_max: int) -> None:
    """Read what comes, up to a bound, and forget it: who is cut off while sending does not read an answer."""
    read, more = 0, True
    while more and read < bytes_max:
        message = await receive()
        read, more = read + len(message.get("body", b"")), message.get("more_body", False)


async def gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
