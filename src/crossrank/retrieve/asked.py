"""How a retriever is asked, in time and awaited, and what it gives made ready: each document with its rank."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from crossrank.awaiting import in_thread
from crossrank.errors import UsageError
from crossrank.retrieve.contract import Found, Retriever


def retrieved(retriever: Retriever, query: str, k: int) -> list[Found]:
    """At most `k` of what it finds, each with its rank by name.

    Raises:
        UsageError: `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"k={k} asks for no documents; give at least 1")
    return _ready(retriever.name, retriever.retrieve(query, k), k)


async def aretrieved(retriever: Retriever, query: str, k: int) -> list[Found]:
    """As `retrieved`; a retriever that cannot be awaited is asked in a thread."""
    awaited: Any = getattr(retriever, "aretrieve", None)
    if awaited is None or k < 1:
        return await in_thread(partial(retrieved, retriever, query, k))
    return _ready(retriever.name, await awaited(query, k), k)


async def aretrieved_all(retrievers: Sequence[Retriever], query: str, k: int) -> dict[str, list[Found]]:
    """What each of them finds, by name; all at the same time."""
    import anyio

    found: dict[str, list[Found]] = {}

    async def ask(retriever: Retriever) -> None:
        found[retriever.name] = await aretrieved(retriever, query, k)

    try:
        async with anyio.create_task_group() as group:
            for retriever in retrievers:
                group.start_soon(ask, retriever)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others were cancelled for it
    return {retriever.name: found[retriever.name] for retriever in retrievers}


def _ready(name: str, found: Sequence[Any], k: int) -> list[Found]:
    items = [item if isinstance(item, Found) else Found(item) for item in found[:k]]
    return [item if item.found_by else replace(item, found_by={name: rank}) for rank, item in enumerate(items, 1)]
