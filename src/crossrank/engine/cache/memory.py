"""The score cache in memory."""

from crossrank.engine.cache.recent import Recent
from crossrank.engine.pair import Scored

ENTRIES_MAX = 65_536
BYTES_MAX = 32 * 2**20
ENTRY_BYTES = 480  # a key, a Scored with its numbers, and the places of both


class MemoryCache(Recent[bytes, Scored]):
    """The most recently used scores of this process."""

    tier = "memory"

    def __init__(self, entries_max: int = ENTRIES_MAX, *, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(_entry_bytes, bytes_max=bytes_max, entries_max=entries_max)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as an empty cache of the same size: what one process remembers is not another's."""
        return (_emptied, (type(self), self._entries_max, self._bytes_max))


def _entry_bytes(key: bytes, scored: Scored) -> int:  # noqa: ARG001 - all are about as large
    return ENTRY_BYTES


def _emptied(kind: type[MemoryCache], entries_max: int, bytes_max: int) -> MemoryCache:
    return kind(entries_max, bytes_max=bytes_max)
