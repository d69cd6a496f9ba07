"""Many rankings in the order of their queries, several under way at a time, with no more read of a stream than that.

It knows futures and iterators; not what is ranked.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from crossrank.arguments import check_iterable, check_query, zip_strict
from crossrank.awaiting import settled
from crossrank.errors import CrossrankError
from crossrank.remote.loop import waited
from crossrank.types import Document, Ranking

Work = Coroutine[Any, Any, Ranking]


def works(
    queries: Iterable[str],
    documents_per_query: Iterable[Sequence[Document]],
    rank: Callable[[str, Sequence[Document]], Work],
) -> Iterator[Work]:
    """The work of ranking, one a query, not begun."""
    check_iterable("queries", queries, "strings")
    check_iterable("documents_per_query", documents_per_query, "lists of documents, one a query")

    def each() -> Iterator[Work]:
        for number, (query, documents) in enumerate(zip_strict(queries, documents_per_query)):
            check_query(query, f"queries[{number}]")
            yield rank(query, documents)

    return each()


def in_order(
    todo: Iterator[Work],
    start: Callable[[Work], "Future[Ranking]"],
    ahead: int,
    bar: Any,
) -> Iterator[Ranking]:
    """The rankings; a mistake further on in a stream does not take the good ones before it along."""
    under_way: deque[Future[Ranking]] = deque()
    mistake: CrossrankError | None = None
    with bar:
        try:
            while True:
                while mistake is None and len(under_way) < ahead:
                    try:
                        under_way.append(start(next(todo)))
                    except StopIteration:
                        break
                    except CrossrankError as exc:
                        mistake = exc
                if not under_way:
                    break
                ranking = waited(under_way.popleft())
                bar.update()
                yield ranking
        finally:
            for future in under_way:
                future.cancel()
    if mistake is not None:
        raise mistake


async def in_order_async(
    todo: Iterator[Work], start: Callable[[Work], "Future[Ranking]"], ahead: int
) -> AsyncIterator[Ranking]:
    """As `in_order`, in the caller's own event loop."""
    under_way: deque[Future[Ranking]] = deque()
    mistake: CrossrankError | None = None
    try:
        while True:
            while mistake is None and len(under_way) < ahead:
                try:
                    under_way.append(start(next(todo)))
                except StopIteration:
                    break
                except CrossrankError as exc:
                    mistake = exc
            if not under_way:
                break
            yield await settled(under_way.popleft())
    finally:
        for future in under_way:
            future.cancel()
    if mistake is not None:
        raise mistake
