"""A retriever of any callable: the search that an application has already."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crossrank.errors import UsageError
from crossrank.retrieve.contract import Found
from crossrank.retrieve.pipeline import Pipes


class Calling(Pipes):
    """Asks `search(query, k)` for documents or `Found`s, best first; or `asearch`, which is awaited.

    Args:
        search: gives at most `k`; more are cut off.
        asearch: the same, awaitable; a pipeline with it alone can only be awaited.
        name: what hits say they were found by.
    """

    def __init__(
        self,
        search: Callable[[str, int], Sequence[Any]] | None = None,
        *,
        asearch: Callable[[str, int], Awaitable[Sequence[Any]]] | None = None,
        name: str = "search",
    ) -> None:
        if search is None and asearch is None:
            raise UsageError("Calling wants a function search(query, k), or an awaitable one as asearch=")
        self.name, self._search = name, search
        if asearch is not None:
            self.aretrieve = asearch

    def retrieve(self, query: str, k: int) -> Sequence[Found]:
        """What the function gives."""
        if self._search is None:
            raise UsageError(f"{self.name!r} can only be awaited: use asearch()")
        return self._search(query, k)
