"""Who may call: keys from a file or the environment, kept as hashes only, and found in the same time whichever it is.

It knows no requests, no models and no quotas but their numbers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from crossrank.errors import UsageError

VARIABLE = "CROSSRANK_API_KEY"  # keys with commas between
HASHED = "sha256:"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, of which nothing but the hash is kept.

    Attributes:
        name: in logs and metrics.
        digest: SHA-256.
        documents_per_minute: what it may send; None for any number.
        models: the names of models it may ask; None for all.
    """

    name: str
    digest: bytes
    documents_per_minute: int | None = None
    models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys; with none, anyone may call."""

    keys: tuple[Key, ...] = ()

    def find(self, given: bytes) -> Key | None:
        """The key that was given. Every key is compared in full, so that the time tells nothing."""
        digest, found = sha256(given).digest(), None
        for key in self.keys:
            if compare_digest(key.digest, digest):
                found = key
        return found


def read_keys(
    environ: Mapping[str, str], file: str | Path | None = None, *, documents_per_minute: int | None = None
) -> Keys:
    """The keys of the environment and of a file; `documents_per_minute` is for those that have none of their own.

    Raises:
        UsageError: the file cannot be read, or a line of it; the message never holds the key.
    """
    said = [part.strip() for part in environ.get(VARIABLE, "").split(",") if part.strip()]
    found = [Key(f"{VARIABLE.lower()}-{i}", sha256(key.encode()).digest()) for i, key in enumerate(said, 1)]
    if file is not None:
        found.extend(_read(file))
        if not found:
            raise UsageError(f"{file} holds no key; write one a line")
    return Keys(
        tuple(
            replace(key, documents_per_minute=key.documents_per_minute or documents_per_minute)
            for key in {key.digest: key for key in found}.values()
        )
    )


def _read(file: str | Path) -> Iterator[Key]:
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the keys in {file} cannot be read: {exc}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield _key(words[0], words[1:], f"{file}, line {number}")


def _key(secret: str, options: Iterable[str], where: str) -> Key:
    key = Key(f"key-{where.rpartition(' ')[2]}", _digest(secret, where))
    for option in options:
        name, _, value = option.partition("=")
        match name:
            case "name" if value:
                key = replace(key, name=value)
            case "documents_per_minute" if value.isdigit() and int(value) > 0:
                key = replace(key, documents_per_minute=int(value))
            case "models" if value:
                key = replace(key, models=frozenset(value.split(",")))
            case _:
                raise UsageError(  # which may be the rest of a key with a space in it: it is not repeated
                    f"{where}: after the key, which has no spaces, there may stand only name=NAME, "
                    "documents_per_minute=NUMBER of at least 1, and models=A,B"
                )
    return key


def _digest(secret: str, where: str) -> bytes:
    if not secret.startswith(HASHED):
        return sha256(secret.encode()).digest()
    try:
        digest = bytes.fromhex(secret.removeprefix(HASHED))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UsageError(f"{where}: after {HASHED} there must be 64 hexadecimal digits, as sha256sum prints them")
    return digest
