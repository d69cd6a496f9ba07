"""A thread with an event loop of its own: calls from any thread and from any event loop run there.

One loop means one pool of connections, however many threads and loops call, and that it outlives an `asyncio.run()`.
It knows coroutines; not what they do.
"""

import asyncio
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, TypeVar

from crossrank.awaiting import settled
from crossrank.errors import ClosedError

T = TypeVar("T")
CLOSED = "This RemoteReranker was closed; open a new one."
LAST_S = 5.0  # for closing connections, whose other end may be silent


class Loop:
    """The thread; it ends with `close()`, when nobody holds this any more, or with the interpreter.

    Args:
        last: what is done before it ends, whatever ends it.
    """

    def __init__(self, last: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(self._loop, last), name="crossrank-remote", daemon=True)
        self._thread.start()
        self._ended = weakref.finalize(self, _end, self._loop, self._thread)

    def detach(self) -> None:
        """Never end it: this is a forked child's copy, whose thread does not exist."""
        self._ended.detach()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """The work, begun; its future can be waited for or cancelled in any thread."""
        try:
            return _own_context().run(asyncio.run_coroutine_threadsafe, work, self._loop)
        except RuntimeError:  # another thread closed it a moment ago
            work.close()
            raise ClosedError(CLOSED) from None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; whatever interrupts the waiting cancels it."""
        return waited(self.start(work))

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, awaited in the caller's own event loop; cancelling the caller cancels it."""
        try:
            return await settled(self.start(work))
        except CancelledError:  # of the future, not of the caller
            raise ClosedError(CLOSED) from None  # the loop ended under the work

    def close(self) -> None:
        """Wait for what is under way, then end the thread."""
        try:
            self.run(_under_way())
        finally:
            self._ended()


def _own_context() -> Context:
    """The caller's context variables, less that of which kind their event loop is: this one is asyncio's."""
    context, sniffio = copy_context(), sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context


def waited(future: "Future[T]") -> T:
    """The future's result; it is cancelled by what interrupts the waiting, as by Ctrl+C."""
    try:
        return future.result()
    except CancelledError:
        raise ClosedError(CLOSED) from None  # the loop ended under the work
    except BaseException:
        future.cancel()
        raise


async def all_or_error(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The calls' results; the first error ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _under_way() -> None:
    me = asyncio.current_task()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not me), return_exceptions=True)


def _serve(loop: asyncio.AbstractEventLoop, last: Callable[[], Awaitable[None]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_finish(last))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _finish(last: Callable[[], Awaitable[None]]) -> None:
    me = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not me]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(LAST_S):
            await last()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if loop.is_closed():
        return
    loop.call_soon_threadsafe(loop.stop)
    if threading.current_thread() is not thread:  # the garbage collector runs anywhere
        thread.join(2 * LAST_S)
