"""HTTP on loopback for a fake vendor: it hands requests on, and sends what it is given back, as badly as it is told to.

It knows sockets; not what is asked and answered.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any, NamedTuple

from crossrank.testing.faults import Fault

ENDING_S = 10.0  # for what is under way
IDLE_S = 60.0  # the longest that a client may say nothing
HANG_S = 600.0


class Reply(NamedTuple):
    """What is sent, and what goes wrong on its way."""

    status: int
    body: bytes
    fault: Fault


Respond = Callable[[str, str, Mapping[str, str], bytes], Reply]  # method, path, headers in lower case, body


class Loopback(ThreadingHTTPServer):
    """Accepts in one thread, and has one for each connection; knows which are open, so that it can end them."""

    request_queue_size = 512

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.ending = threading.Event()
        self.connections = 0
        self._open: set[socket] = set()
        self._conversing: set[threading.Thread] = set()
        self._changing = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Conversation)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name="crossrank-fake-vendor", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Accept no more, end all connections and their threads."""
        self.ending.set()
        self.shutdown()
        self._thread.join(ENDING_S)
        self.server_close()
        with self._changing:
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(SHUT_RDWR)
        last = time.monotonic() + ENDING_S
        for thread in self._conversing:
            thread.join(max(0.0, last - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more is open, in a thread of its own."""
        self.connections += 1
        with self._changing:
            self._open.add(request)
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name=f"crossrank-fake-vendor-{self.connections}",
            daemon=True,
        )
        thread.start()
        self._conversing = {*filter(threading.Thread.is_alive, self._conversing), thread}

    def shutdown_request(self, request: Any) -> None:
        """One less."""
        super().shutdown_request(request)
        with self._changing:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested; all else is told on stderr."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Conversation(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: Loopback

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._converse()

    def do_POST(self) -> None:
        self._converse()

    def _converse(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(*self.server.respond(self.command, self.path, headers, body))

    def _send(self, status: int, body: bytes, fault: Fault) -> None:
        """In one write: two would wait for each other's acknowledgement."""
        ending = self.server.ending
        if fault.hang or fault.wait_s:
            ending.wait(HANG_S if fault.hang else fault.wait_s)
        if fault.drop or fault.hang or ending.is_set():
            self.close_connection = True
            return
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **fault.headers}
        if fault.retry_after_s is not None:
            headers["Retry-After"] = f"{fault.retry_after_s:g}"
        sent = body[:1] if fault.trickle else body[: len(body) - fault.cut]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {status} {responses.get(status, 'X')}\r\n{lines}\r\n".encode() + sent)
        if fault.trickle:
            ending.wait(HANG_S)
        self.close_connection = self.close_connection or len(sent) < len(body)
