"""A key that shows itself in no repr, message, log or pickle; and where keys come from.

It knows environment variables; not what the key opens.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from crossrank.errors import ArgumentTypeError, UsageError

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret; `reveal()` is the only way to it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The secret itself, for the one header that carries it."""
        return self._value

    def hide(self, text: str) -> str:
        """The text without the secret, which some servers repeat in their errors."""
        return text.replace(self._value, HIDDEN)

    def __str__(self) -> str:
        """Nothing of the secret."""
        return HIDDEN

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """A secret is not written down."""
        raise UsageError("an API key is not pickled; set the vendor's environment variable where the copy is opened")


def find_key(given: str | None, variables: Sequence[str]) -> Key | None:
    """The key that was given, else that of the first environment variable that holds one."""
    if given is not None and not isinstance(given, str):
        raise ArgumentTypeError(f"api_key must be a str, not {type(given).__name__}")
    if given is not None and not given.strip():
        raise UsageError("api_key is empty; leave it out to use the environment variable")
    value = given or next((found for name in variables if (found := os.environ.get(name, "").strip())), None)
    if value is None:
        return None
    value = value.strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError("the API key holds characters that no HTTP header may; check how it was copied")
    return Key(value)
