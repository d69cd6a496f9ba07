"""Connections that outlive the process that serves them: when it dies, whoever waits for an answer is told 503.

A worker hands a duplicate of every connection to the process that watches it, and notes in memory that both map whether
a call is in progress there. It knows descriptors and one answer; not what is served, nor why a process died.
"""

import asyncio
import mmap
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crossrank.wire import SUPERSET, Failure

MESSAGE = struct.Struct("=ci")
TAKE, LEAVE = b"+", b"-"
MESSAGES_MAX = 1_024  # that are heard at a time
IDLE, CALLING = 0, 1
BODY = SUPERSET.dump_error(Failure("the process that answered this has died; please send it again", "unavailable"))
ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class Custody:
    """The worker's side. Used in its event loop; nothing here waits.

    Args:
        link: to the watching process.
        notes: the file with a byte for each connection.
        connections_max: how many there can be.
    """

    def __init__(self, link: socket.socket, notes: Path, connections_max: int) -> None:
        self._link = link
        self._link.setblocking(False)
        self._notes = _mapped(notes, connections_max)
        self._free = deque(range(connections_max))
        self._unsaid: deque[bytes] = deque()

    def when_left(self, loop: asyncio.AbstractEventLoop, left: Callable[[], None]) -> None:
        """Call `left` in the worker's loop if the watching process ends before it."""

        def ended() -> None:  # nothing is ever sent this way, so that there is only the end to be read
            loop.remove_reader(self._link)
            left()

        loop.add_reader(self._link, ended)

    def take(self, connection: int) -> int | None:
        """Hand over a duplicate of a connection's descriptor: its place, or None if there is none."""
        self._say()
        if self._unsaid or not self._free:
            return None
        place = self._free.popleft()
        self._notes[place] = IDLE
        try:
            socket.send_fds(self._link, [MESSAGE.pack(TAKE, place)], [connection])
        except OSError:  # the other side is busy, or gone: the connection is served all the same
            self._free.append(place)
            return None
        return place

    def note(self, place: int, *, calling: bool) -> None:
        """A call begins at a place, or is answered."""
        self._notes[place] = CALLING if calling else IDLE

    def leave(self, place: int) -> None:
        """The connection of a place has ended."""
        self._notes[place] = IDLE
        self._free.append(place)
        self._unsaid.append(MESSAGE.pack(LEAVE, place))
        self._say()

    def _say(self) -> None:
        with suppress(OSError):
            while self._unsaid:
                self._link.send(self._unsaid[0])
                self._unsaid.popleft()


class Custodian:
    """The watching process's side, of one worker.

    Args:
        notes: the file with a byte for each connection; made here.
        connections_max: how many there can be.
        encrypted: whether connections are TLS, in which nothing can be said for another.
    """

    def __init__(self, notes: Path, connections_max: int, *, encrypted: bool) -> None:
        notes.write_bytes(bytes(connections_max))
        self._notes = _mapped(notes, connections_max)
        self._encrypted = encrypted
        self._held: dict[int, int] = {}
        self.link, self.worker_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.setblocking(False)

    def hear(self) -> bool:
        """Take and let go of connections as the worker says; whether there was anything to hear."""
        heard = False
        with suppress(OSError):
            for _ in range(MESSAGES_MAX):
                said, descriptors, _, _ = socket.recv_fds(self.link, MESSAGE.size, 1)
                if not said:
                    break
                heard = True
                kind, place = MESSAGE.unpack(said)
                if (before := self._held.pop(place, None)) is not None:
                    os.close(before)
                if kind == TAKE and descriptors:
                    self._held[place] = descriptors[0]
        return heard

    def end(self) -> None:
        """The worker has ended: answer what it was asked and did not answer, and let go of all."""
        while self.hear():
            pass
        for place, connection in self._held.items():
            if self._notes[place] == CALLING and not self._encrypted:
                with suppress(OSError):
                    os.write(connection, ANSWER)
            os.close(connection)
        self._held.clear()
        self._notes.close()
        self.link.close()


def _mapped(notes: Path, size: int) -> mmap.mmap:
    with notes.open("r+b") as file:
        return mmap.mmap(file.fileno(), size)
