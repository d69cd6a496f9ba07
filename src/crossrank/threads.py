"""What threads give each other, and how they begin: whole, wherever Ctrl+C ends the one that waits.

It knows threads and signals; not what is computed.
"""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Promise(Generic[T]):
    """What one thread gives and others wait for.

    As `concurrent.futures.Future`, but that takes its lock in Python code: a thread that Ctrl+C ends in there keeps the
    lock, and whoever touches the future next waits for ever. Here nothing is held: whatever needs to be whole is one
    operation of a built-in type. What was not told to all because Ctrl+C came in between is told by ending it again.

    Args:
        withdrawn: called, in whatever thread, when nobody waits for it any more.

    Attributes:
        done: whether there is a result or an error.
        withdrawn: whether nobody waits for it any more.
    """

    __slots__ = ("_calls", "_error", "_on_withdrawal", "_result", "done", "withdrawn")

    def __init__(self, withdrawn: Callable[[], object] | None = None) -> None:
        self.done = self.withdrawn = False
        self._on_withdrawal = withdrawn
        self._result: T | None = None
        self._error: BaseException | None = None
        self._calls: list[Callable[[], object]] = []

    def give(self, result: T) -> None:
        """End it with a result, unless it has ended; and tell whoever waits, in any case."""
        if not self.done:
            self._result = result
            self.done = True
        self.tell()

    def fail(self, error: BaseException) -> None:
        """As `give`, with an error, which is raised wherever the result is asked for."""
        if not self.done:
            self._error = error
            self.done = True
        self.tell()

    def tell(self) -> None:
        """Tell whoever waits; once more, if that was interrupted."""
        for call in tuple(self._calls):
            call()

    def withdraw(self) -> None:
        """Say that nobody waits for it any more."""
        self.withdrawn = True
        if self._on_withdrawal is not None and not self.done:
            self._on_withdrawal()

    def when_done(self, call: Callable[[], object]) -> None:
        """Have this called when it is done, in the thread that ends it, or at once. It may be called more than once."""
        self._calls.append(call)
        if self.done:
            call()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is done, after so many seconds at most."""
        if not self.done:
            told: SimpleQueue[None] = SimpleQueue()
            self.when_done(lambda: told.put(None))
            with suppress(Empty):
                told.get(timeout=None if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX))
        return self.done

    def result(self, seconds: float | None = None) -> T:
        """The result, waited for.

        Raises:
            TimeoutError: it is not there after so many seconds.
            BaseException: the error that it failed with.
        """
        if not self.wait(seconds):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


def begin_thread(work: Callable[[], object], name: str) -> None:
    """Have a thread be at this work. Ctrl+C waits until it is, and comes then.

    `Thread.start` waits with a lock that an interrupted thread would keep, so that the new one never began; and when a
    `Thread` is forgotten, code of weakref's runs in which an interruption is swallowed.
    """
    heard_here = threading.current_thread() is threading.main_thread()
    # Other handlers, as those of asyncio and trio, do not raise.
    if not heard_here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        threading.Thread(target=work, name=name).start()
        return
    came: list[tuple[int, Any]] = []
    try:
        with suppress(ValueError):  # of a subinterpreter, which hears no signals
            signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
        threading.Thread(target=work, name=name).start()
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            signal.default_int_handler(*came[0])
