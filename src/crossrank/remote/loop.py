"""A thread with an event loop of its own: calls from any thread and from any event loop run there.

One loop means one pool of connections, however many threads and loops call, and that it outlives an `asyncio.run()`.
It knows coroutines; not what they do.
"""

import asyncio
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from crossrank.awaiting import settled
from crossrank.errors import ClosedError
from crossrank.threads import Promise

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
        self._begun: set[Begun] = set()
        serve = partial(_serve, self._loop, self._begun, last)
        self._thread = threading.Thread(target=serve, name="crossrank-remote", daemon=True)
        self._thread.start()
        self._ended = weakref.finalize(self, _end, self._loop, self._thread)

    def detach(self) -> None:
        """Never end it: this is a forked child's copy, whose thread does not exist."""
        self._ended.detach()

    def start(self, work: Coroutine[Any, Any, T]) -> Promise[T]:
        """The work, begun; what it gives can be waited for in any thread, and withdrawing that cancels the work."""
        begun = Begun(work, self._loop)
        begun.promise.when_done(partial(self._begun.discard, begun))
        self._begun.add(begun)
        try:
            self._loop.call_soon_threadsafe(begun.begin, context=_own_context())
        except RuntimeError:  # another thread closed it a moment ago
            begun.end()
        return begun.promise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; whatever interrupts the waiting cancels it."""
        return waited(self.start(work))

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, awaited in the caller's own event loop; cancelling the caller cancels it."""
        return await settled(self.start(work))

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


def waited(promise: Promise[T]) -> T:
    """The promise's result; it is withdrawn by what interrupts the waiting, as by Ctrl+C."""
    try:
        return promise.result()
    except BaseException:
        promise.withdraw()
        raise


class Begun:
    """Work that a loop in another thread is at, or is about to be at.

    `asyncio.run_coroutine_threadsafe` gives a `concurrent.futures.Future`, for whose lock the loop could wait for ever.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.promise: Promise[Any] = Promise(self._withdrawn)
        self._work, self._loop = work, loop
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin the work, in the loop."""
        if self.promise.withdrawn:
            self.end()
        else:
            self._task = self._loop.create_task(self._keep())
            self._task.add_done_callback(lambda _: self.end())  # also where it was cancelled before its first step

    def end(self) -> None:
        """End what is not over: the loop ends, or nobody waits."""
        self._work.close()
        self.promise.fail(ClosedError(CLOSED))

    async def _keep(self) -> None:
        try:
            self.promise.give(await self._work)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001 - whatever it is, whoever waits must get it
            self.promise.fail(exc)

    def _withdrawn(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the work with it
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


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
    await asyncio.gather(*_others(), return_exceptions=True)


async def _cancelled() -> None:
    """Cancel all that is under way, until nothing is."""
    while tasks := _others():
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _others() -> list["asyncio.Task[Any]"]:
    me = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not me]


def _serve(loop: asyncio.AbstractEventLoop, begun: set[Begun], last: Callable[[], Awaitable[None]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_finish(last))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.run_until_complete(_cancelled())  # what came meanwhile
        loop.close()
        for late in tuple(begun):
            late.end()


async def _finish(last: Callable[[], Awaitable[None]]) -> None:
    await _cancelled()
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(LAST_S):
            await last()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if loop.is_closed():
        return
    loop.call_soon_threadsafe(loop.stop)
    if threading.current_thread() is not thread:  # the garbage collector runs anywhere
        thread.join(2 * LAST_S)
