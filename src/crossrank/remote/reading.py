"""Reads an answer's body up to a bound, unpacked or not: what a server sends never takes more memory than that.

It knows encodings; not what the body means.
"""

import zlib
from collections.abc import AsyncIterator

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # told apart by their first bytes


class BodyError(Exception):
    """A body that is too large, or packed in a way that cannot be undone."""


async def read_bounded(chunks: AsyncIterator[bytes], encoding: str, bytes_max: int) -> bytes:
    """The body, unpacked; BodyError beyond `bytes_max`, before more than that is held."""
    encoding = encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    elif encoding in ("", "identity"):
        unpacker = None
    else:
        raise BodyError(f"is packed as {encoding!r}, which was not asked for")
    body = bytearray()
    async for chunk in chunks:
        try:
            body += chunk if unpacker is None else unpacker.decompress(chunk, bytes_max + 1 - len(body))
        except zlib.error as exc:
            raise BodyError(f"is no {encoding} ({exc})") from None
        if len(body) > bytes_max:
            raise BodyError(f"is larger than {bytes_max} bytes")
    if unpacker is not None and not unpacker.eof:
        raise BodyError(f"ends in the middle of its {encoding}")
    return bytes(body)
