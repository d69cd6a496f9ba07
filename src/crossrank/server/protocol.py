"""uvicorn's HTTP protocol with the bounds that it lacks: on connections, on headers, and on the wait for them.

It knows uvicorn; not what is served.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from crossrank.server.custody import Custody

HEADERS_MAX = 64 * 1024  # bytes of a request's line and headers, beside what came with its first
BUSY = b"".join([STATUS_LINE[503], b"retry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"])


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded` makes the class for a server's bounds."""

    connections_max: ClassVar[int] = 2_048
    headers_s: ClassVar[float] = 30.0
    custody: ClassVar[Custody | None] = None
    _place: int | None = None
    _waiting: asyncio.TimerHandle | None = None
    _headers_size = 0
    _begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take the connection, or send it away if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.write(BUSY)
            transport.close()
            return
        if self.custody is not None:
            self._place = self.custody.take(transport.get_extra_info("socket").fileno())
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        if self.custody is not None and self._place is not None:
            self.custody.leave(self._place)
            self._place = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; who is still sending headers after so much is sent away. What they began in counts as nothing."""
        self._begun = False
        super().data_received(data)
        if self._waiting is None or self.transport.is_closing():
            return
        self._headers_size += 0 if self._begun else len(data)
        if self._headers_size > HEADERS_MAX:
            self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        """A request begins: its headers must be there in time."""
        super().on_message_begin()
        self._note(calling=True)
        self._headers_size, self._begun = 0, True
        if self._waiting is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """All headers are there."""
        self._wait_no_more()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A request was answered."""
        self._note(calling=False)
        super().on_response_complete()

    def _note(self, *, calling: bool) -> None:
        if self.custody is not None and self._place is not None:
            self.custody.note(self._place, calling=calling)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.headers_s, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def bounded(connections_max: int, headers_s: float, custody: Custody | None = None) -> type[asyncio.Protocol]:
    """The protocol with a server's bounds, and with who is told of connections."""
    bounds: dict[str, Any] = {"connections_max": connections_max, "headers_s": headers_s, "custody": custody}
    return type("BoundedProtocol", (BoundedProtocol,), bounds)
