"""What tells one input from another, wherever its texts came from. It knows texts; not what they are."""

from collections.abc import Iterable
from hashlib import blake2b


def digest_of(parts: Iterable[str]) -> str:
    """32 hexadecimal digits of texts in their order; where one ends and the next begins counts too."""
    digest = blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
