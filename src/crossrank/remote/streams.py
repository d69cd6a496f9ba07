"""Many rankings in the order of their queries, several under way at a time, with no more read of a stream than that.

It knows promises and iterators; not what is ranked.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from crossrank.arguments import each_query
from crossrank.awaiting import settled
from crossrank.errors import CrossrankError
from crossrank.remote.loop import waited
from crossrank.threads import Promise
from crossrank.types import Document, Ranking

Work = Coroutine[Any, Any, Ranking]


def works(
    queries: Iterable[str],
    documents_per_query: Iterable[Sequence[Document]],
    rank: Callable[[str, Sequence[Document]], Work],
) -> Iterator[Work]:
    """The work of ranking, one a query, not begun."""
    return (rank(query, documents) for query, documents in each_query(queries, documents_per_query))


class _UnderWay:
    """Work that is begun, at most `ahead` at a time; a mistake further on in a stream lets the good ones before it end.

    Args:
        todo: read no further than that.
        start: begins one.
        ahead: at least 1.
    """

    def __init__(self, todo: Iterator[Work], start: Callable[[Work], Promise[Ranking]], ahead: int) -> None:
        self._todo, self._start, self._ahead = todo, start, ahead
        self._begun: deque[Promise[Ranking]] = deque()
        self._mistake: CrossrankError | None = None

    def oldest(self) -> Promise[Ranking] | None:
        """What was begun first, after as many as may be are begun; None at the end. Raises the stream's mistake."""
        while self._mistake is None and len(self._begun) < self._ahead:
            try:
                self._begun.append(self._start(next(self._todo)))
            except StopIteration:
                break
            except CrossrankError as exc:
                self._mistake = exc
        if not self._begun and self._mistake is not None:
            raise self._mistake
        return self._begun.popleft() if self._begun else None

    def close(self) -> None:
        """Cancel what nobody waits for any more."""
        for promise in self._begun:
            promise.withdraw()


def in_order(
    todo: Iterator[Work],
    start: Callable[[Work], Promise[Ranking]],
    ahead: int,
    bar: Any,
) -> Iterator[Ranking]:
    """The rankings; `bar` counts them."""
    with bar, closing(_UnderWay(todo, start, ahead)) as under_way:
        while (promise := under_way.oldest()) is not None:
            ranking = waited(promise)
            bar.update()
            yield ranking


async def in_order_async(
    todo: Iterator[Work], start: Callable[[Work], Promise[Ranking]], ahead: int
) -> AsyncIterator[Ranking]:
    """As `in_order`, in the caller's own event loop."""
    with closing(_UnderWay(todo, start, ahead)) as under_way:
        while (promise := under_way.oldest()) is not None:
            yield await settled(promise)
