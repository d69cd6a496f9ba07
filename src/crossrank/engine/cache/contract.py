"""What a score cache is, and the strong key of a pair under one model.

It knows keys and values; not where they are kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from crossrank.engine.pair import Pair, Scored

KEY_BYTES = 32


@runtime_checkable
class ScoreCache(Protocol):
    """Whatever remembers scores; called from several threads at once. It may fail: no call of ours does for it."""

    def get_many(self, keys: Sequence[bytes]) -> Mapping[bytes, Scored]:
        """What is known of these keys; the others are left out."""
        ...

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these, as far as there is room."""
        ...


class Found(dict[bytes, Scored]):
    """What a tier that outlives the process knows of some keys, and the seconds since it learned the oldest of it."""

    age_s: float | None = None


def cache_keys(model: bytes, pairs: Iterable[Pair]) -> list[bytes]:
    """A 32-byte key of each pair under a model.

    It is BLAKE2b (RFC 7693) over model, query, instruction and document, each with its length before it, so that
    ("ab", "c") and ("a", "bc") differ. What comes before the document is hashed once for neighbours that share it.
    """
    keys: list[bytes] = []
    query = instruction = None
    beginning = blake2b(digest_size=KEY_BYTES)
    for pair in pairs:
        if pair.query is not query or pair.instruction is not instruction:
            query, instruction = pair.query, pair.instruction
            parts = (model, query.encode(), instruction.encode())
            beginning = blake2b(b"".join(map(_prefixed, parts)), digest_size=KEY_BYTES)
        key = beginning.copy()
        key.update(_prefixed(pair.document.encode()))
        keys.append(key.digest())
    return keys


def cache_key(model: bytes, pair: Pair) -> bytes:
    """The key of one pair."""
    return cache_keys(model, [pair])[0]


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "little") + part
