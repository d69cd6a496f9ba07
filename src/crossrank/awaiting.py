"""Waiting in an event loop, of asyncio or trio, for what another thread computes.

It knows futures; not what they give.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(
    future: "Future[T]",
    deadline: float | None = None,
    expire: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The future's result; cancelling whoever waits cancels the future.

    Args:
        future: given its result by another thread.
        deadline: the clock's time when `expire` is called, which has to see to it that the result comes soon.
        expire: see there.
        clock: seconds, as `time.monotonic`.
    """
    import anyio

    done = anyio.Event()
    wake = _caller_from_thread()
    future.add_done_callback(lambda _: wake(done.set))
    try:
        if deadline is not None:
            with anyio.move_on_after(max(0.0, deadline - clock())):
                await done.wait()
            if not future.done():
                expire()
        await done.wait()
    except BaseException:
        future.cancel()
        raise
    return future.result()


async def in_thread(work: Callable[[], T]) -> T:
    """What the work gives, done in a thread; it must change nothing, because a caller that is cancelled leaves it."""
    import anyio.to_thread

    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def at_once(work: Callable[[], T]) -> T:
    """As `in_thread`, for work that takes so short that a thread would take longer."""
    return work()


def _caller_from_thread() -> Callable[[Callable[[], Any]], None]:
    """What has a function called in this event loop, from any thread, without waiting for it."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        call, ended = trio.lowlevel.current_trio_token().run_sync_soon, trio.RunFinishedError
    else:
        import asyncio

        call, ended = asyncio.get_running_loop().call_soon_threadsafe, RuntimeError

    def wake(function: Callable[[], Any]) -> None:
        with suppress(ended):  # a loop that has ended has nobody waiting
            call(function)

    return wake
