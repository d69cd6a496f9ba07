"""Waiting in an event loop, of asyncio or trio, for what another thread computes.

It knows promises; not what they are of.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from crossrank.threads import Promise

T = TypeVar("T")


async def settled(
    promise: Promise[T],
    deadline: float | None = None,
    expire: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The promise's result; cancelling whoever waits withdraws it.

    Args:
        promise: kept by another thread.
        deadline: the clock's time when `expire` is called, which has to see to it that the result comes soon.
        expire: see there.
        clock: seconds, as `time.monotonic`.
    """
    import anyio

    done = anyio.Event()
    wake = _caller_from_thread()
    try:
        promise.when_done(lambda: wake(done.set))
        if deadline is not None:
            with anyio.move_on_after(max(0.0, deadline - clock())):
                await done.wait()
            if not promise.done:
                expire()
        await done.wait()
    except BaseException:
        promise.withdraw()
        raise
    return promise.result()


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
