"""How many documents a key may still send: a bucket each that fills up all the time, shared by all worker processes.

It knows hashes of keys and numbers.
"""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SLOT = struct.Struct("=32sdd")  # a key's hash, the documents left, and when that was so
SLOTS = 4_096
EMPTY = bytes(32)
MINUTE = 60.0


class Quotas:
    """The buckets. A call may take more than there is in a full one, and the debt is waited for: no call is too large.

    Args:
        file: where the buckets are, for several processes on this machine; None for this process alone.
        clock: seconds, the same in all processes.
    """

    def __init__(self, file: Path | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = None if file is None else os.open(file, os.O_RDWR)
        size = SLOT.size * SLOTS
        if self._lock is not None and os.fstat(self._lock).st_size < size:
            os.ftruncate(self._lock, size)
        self._slots = mmap.mmap(-1 if self._lock is None else self._lock, size)

    def take(self, key: bytes, documents: int, per_minute: int) -> float | None:
        """Take documents from a key's bucket: None if they were there, else the seconds until they will be."""
        with self._held():
            offset, left, filled = self._find(key, per_minute)
            now = self._clock()
            left = min(float(per_minute), left + (now - filled) / MINUTE * per_minute)
            wanted = min(documents, per_minute)
            allowed = left >= wanted
            SLOT.pack_into(self._slots, offset, key, left - documents if allowed else left, now)
            return None if allowed else (wanted - left) / per_minute * MINUTE

    def close(self) -> None:
        """Let go of the memory."""
        self._slots.close()
        if self._lock is not None:
            os.close(self._lock)

    def _find(self, key: bytes, per_minute: int) -> tuple[int, float, float]:
        """Where the key's bucket is, and what it holds; a new one is full."""
        first = int.from_bytes(key[:4], "little")
        for step in range(SLOTS):
            offset = (first + step) % SLOTS * SLOT.size
            owner, left, filled = SLOT.unpack_from(self._slots, offset)
            if owner == key:
                return offset, left, filled
            if owner == EMPTY:
                return offset, float(per_minute), self._clock()
        offset = first % SLOTS * SLOT.size  # more keys than slots over the years: the oldest notion of one is forgotten
        return offset, float(per_minute), self._clock()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Alone among the processes; for microseconds, so the event loop may wait for it."""
        if self._lock is None:
            yield
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
