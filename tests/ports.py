"""Ports of loopback that nobody else gets while a test needs them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def held_port() -> socket.socket:
    """A socket that holds a free port and does not listen, so that who connects is refused at once.

    A server of the test's own can listen there all the same, if it sets SO_REUSEADDR.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


@contextmanager
def refusing() -> Iterator[str]:
    """The address, as host:port, of a port that refuses connections."""
    with held_port() as held:
        yield f"127.0.0.1:{held.getsockname()[1]}"
