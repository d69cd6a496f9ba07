"""The line between a process and a replica of it: a kind of message with a few arrays, as raw bytes over a socket.

No array is pickled or copied on its way but by the kernel. It knows bytes; not models or processes.
"""

import socket
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = 3  # of a message, at most
HEAD = struct.Struct(f"<B{PARTS}Q")  # its kind, and the bytes of each part

Part = NDArray[Any] | bytes
NO_SIGNAL = getattr(
    socket, "MSG_NOSIGNAL", 0
)  # an end that is gone is an error, whatever the program does about SIGPIPE


class Kind(IntEnum):
    """What a message is."""

    OPEN = 0  # what opens the model, pickled
    OPENED = 1  # its limits and facts, pickled
    RUN = 2  # ids, segments and offsets of a batch, int32
    RUN_EXACT = 3  # the same, in fp32 whatever the precision
    LOGITS = 4  # fp32, a row after the other
    FAILED = 5  # an exception, pickled


class Line:
    """One end of the line; for one thread at a time. Whoever is at the other end is trusted.

    Args:
        end: a connected stream socket, which is the line's from now on.
        patience_s: how long the other end may say nothing; None for ever.
    """

    def __init__(self, end: socket.socket, patience_s: float | None) -> None:
        end.settimeout(patience_s)
        self.socket = end

    def send(self, kind: Kind, *parts: Part) -> None:
        """Say something.

        Raises:
            OSError: nobody listens.
        """
        views = [memoryview(part).cast("B") if isinstance(part, bytes) else part.data.cast("B") for part in parts]
        sizes = [len(view) for view in views] + [0] * (PARTS - len(views))
        self.socket.sendall(HEAD.pack(kind, *sizes), NO_SIGNAL)
        for view in views:
            self.socket.sendall(view, NO_SIGNAL)

    def receive(self) -> tuple[Kind, Sequence[memoryview]]:
        """What the other end says next, waited for: its kind, and its parts, aligned as arrays are.

        Raises:
            EOFError: there is no other end any more.
            OSError: it says nothing for too long, or the line is broken.
        """
        kind, *sizes = HEAD.unpack(self._bytes(HEAD.size))
        return Kind(kind), [self._bytes(size) for size in sizes]

    def close(self) -> None:
        """Let go of it; the other end is told, unless a fork holds it too."""
        self.socket.close()

    def _bytes(self, size: int) -> memoryview:
        received = left = np.empty(size, np.uint8).data
        while len(left):
            count = self.socket.recv_into(left)
            if not count:
                raise EOFError
            left = left[count:]
        return received
