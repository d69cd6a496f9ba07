"""The most recently used values of this process, bounded by bytes and by number.

It knows keys, values and their sizes; not what they mean.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from crossrank.forks import quiet_at_forks

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was used last; safe to use from several threads, and in a forked child.

    Args:
        size: the bytes that a key and its value take; those that alone exceed `bytes_max` are not kept.
        bytes_max: of all entries together.
        entries_max: the most entries.
    """

    def __init__(self, size: Callable[[K, V], int], *, bytes_max: int, entries_max: int) -> None:
        self.lock = threading.Lock()
        self.bytes = 0
        self._size = size
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()  # with its size, which may be another later on
        quiet_at_forks(self)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """What is known of these keys, which become the most recently used."""
        with self.lock:
            found = {key: self._entries[key][0] for key in keys if key in self._entries}
            for key in found:
                self._entries.move_to_end(key)
            return found

    def put_many(self, values: Mapping[K, V]) -> None:
        """Remember these; the least recently used make room."""
        sized = {key: (value, self._size(key, value)) for key, value in values.items()}
        with self.lock:
            for key, (value, size) in sized.items():
                self.bytes -= self._entries.pop(key, (value, 0))[1]
                if size <= self._bytes_max:
                    self._entries[key] = (value, size)
                    self.bytes += size
            while self.bytes > self._bytes_max or len(self._entries) > self._entries_max:
                _, (_, size) = self._entries.popitem(last=False)
                self.bytes -= size

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def before_fork(self) -> None:
        """Nothing: the child goes on with a copy."""
