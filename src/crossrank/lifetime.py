"""What is closed at the end of its `with`. It knows when, not what is closed."""

from typing import Self


class Closes:
    """Has a `close()`, which `with` calls."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class AsyncCloses(Closes):
    """Has an `aclose()` too, which `async with` calls."""

    __slots__ = ()

    async def aclose(self) -> None:
        """As `close`, awaitable."""
        self.close()

    async def __aenter__(self) -> Self:
        """Self, for `async with`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()
