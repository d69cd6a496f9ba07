"""A score as bytes, for caches that outlive the process. Pure.

A record that is cut short, of another version, of another key or not a number is none: its pair is scored anew.
"""

import math
import struct
import zlib

from crossrank.engine.pair import Scored

VERSION = 1  # raised with every change of the layout
_CONTENT = struct.Struct("<dQQQQ?I")  # logit, tokens, passage, cost, truncated, seconds since the epoch
_SUM = struct.Struct("<I")
RECORD_BYTES = _CONTENT.size + _SUM.size


def pack(key: bytes, scored: Scored, stored: float) -> bytes:
    """The record of a score that is stored at `stored`, seconds since the epoch, under a key."""
    start, end = scored.passage
    content = _CONTENT.pack(scored.logit, scored.tokens, start, end, scored.cost, scored.truncated, int(stored) % 2**32)
    return content + _SUM.pack(zlib.crc32(content, zlib.crc32(key)))


def unpack(key: bytes, record: object) -> tuple[Scored, float] | None:
    """The score in a record and when it was stored, or None for what is no sound record of that key."""
    if not isinstance(record, bytes) or len(record) != RECORD_BYTES:
        return None
    content = record[: _CONTENT.size]
    if _SUM.unpack(record[_CONTENT.size :])[0] != zlib.crc32(content, zlib.crc32(key)):
        return None
    logit, tokens, start, end, cost, truncated, stored = _CONTENT.unpack(content)
    if not math.isfinite(logit):
        return None
    return Scored(logit, tokens, truncated, (start, end), cost), stored
