"""Scores that are known already: a strong key for a pair under one model, and the cache in memory.

It knows keys and values; not how a score comes about.
"""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from crossrank.engine.pair import Pair, Scored

ENTRIES_MAX = 65_536  # of about 350 bytes each


@runtime_checkable
class ScoreCache(Protocol):
    """Whatever remembers scores; called from several threads at once."""

    def get_many(self, keys: Sequence[bytes]) -> Mapping[bytes, Scored]:
        """What is known of these keys; the others are left out."""
        ...

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these, as far as there is room."""
        ...


def cache_key(model: bytes, pair: Pair) -> bytes:
    """A 32-byte key of a pair under a model; each part is length-prefixed, so ("ab", "c") and ("a", "bc") differ."""
    key = blake2b(digest_size=32)
    for part in (model, pair.query.encode(), pair.document.encode(), pair.instruction.encode()):
        key.update(len(part).to_bytes(8, "little"))
        key.update(part)
    return key.digest()


class MemoryCache:
    """The most recently used scores of this process."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: OrderedDict[bytes, Scored] = OrderedDict()
        self._entries_max = entries_max
        self._lock = threading.Lock()
        _MEMORY_CACHES.add(self)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Scored]:
        """What is known of these keys, which become the most recently used."""
        with self._lock:
            found = {key: self._entries[key] for key in keys if key in self._entries}
            for key in found:
                self._entries.move_to_end(key)
            return found

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these; the least recently used make room."""
        with self._lock:
            self._entries.update(scored)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def __reduce__(self) -> tuple[type["MemoryCache"], tuple[int]]:
        """Pickled as an empty cache of the same size: what one process remembers is not another's."""
        return (MemoryCache, (self._entries_max,))

    def __len__(self) -> int:
        """The number of scores that are remembered."""
        return len(self._entries)

    def _unlock_in_child(self) -> None:
        """Start a forked child with a free lock: the thread that held it does not exist there."""
        self._lock = threading.Lock()


_MEMORY_CACHES: "weakref.WeakSet[MemoryCache]" = weakref.WeakSet()


def _after_fork() -> None:
    for cache in _MEMORY_CACHES:
        cache._unlock_in_child()  # noqa: SLF001 - this module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
