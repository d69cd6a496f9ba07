"""A sign of life on a terminal for whatever takes over a second; silent in pipes."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

AFTER_S = 1.0
EVERY_S = 0.1
QUERIES = "{desc} {n_fmt}/{total_fmt} queries |{bar}| {rate_noinv_fmt}, {remaining} left"
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Shown:
    """How far something is: a bar while it goes on, taken away at the end of its `with`; a line when interrupted."""

    bar: Any = None

    def when_interrupted(self) -> str:
        """What is said on Ctrl-C; "" for nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        if isinstance(exc, KeyboardInterrupt) and (line := self.when_interrupted()):
            sys.stderr.write(f"{line}\n")


class QueriesBar:
    """A tqdm bar over queries with rate and time left; until the first of them is done, `waiting`. None in pipes."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._known = 0
        self._first = ExitStack()
        self._first.enter_context(waiting("Ranking"))

    def skip(self, count: int) -> None:
        """So many were done before; they say nothing about the rate."""
        self._known += count
        if self._bar is not None:
            self._bar.update(count)

    def update(self, description: str, total: int) -> None:
        """One more of `total` is done."""
        if self._bar is None:
            self._first.close()
            self._bar = terminal_bar(total, QUERIES, initial=self._known, unit=" queries", delay=AFTER_S)
        self._bar.set_description_str(description, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leave the line empty."""
        self._first.close()
        if self._bar is not None:
            self._bar.close()


def terminal_bar(total: int, bar_format: str, **options: Any) -> Any:
    """A tqdm bar on stderr, which is left clean; none in pipes."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        bar_format=bar_format,
        disable=None,  # where stderr is no terminal
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
        **options,
    )


@contextmanager
def waiting(message: str) -> Iterator["Sign"]:
    """Shows the message with the seconds that have passed, on stderr, while the body runs; leaves the line empty."""
    sign = Sign(message)
    if not sys.stderr.isatty():
        yield sign
        return
    thread = threading.Thread(target=sign.spin, daemon=True)
    thread.start()
    try:
        yield sign
    finally:
        sign.done.set()
        thread.join()


class Sign:
    """A line that changes, below those that stay.

    Attributes:
        message: shown from the next change on; a signal handler may set it.
    """

    def __init__(self, message: str) -> None:
        self.done = threading.Event()
        self.message, self._shown, self._writing = message, "", threading.Lock()

    def tell(self, line: str) -> None:
        """Write a line to stderr, above the message."""
        with self._writing:
            self._wipe()
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def spin(self) -> None:
        """Show it, until it is done."""
        started, frame = time.monotonic(), 0
        if self.done.wait(AFTER_S):
            return
        with suppress(OSError):  # a terminal that has gone is no reason to stop
            while not self.done.wait(EVERY_S):
                with self._writing:
                    line = f"{FRAMES[frame % len(FRAMES)]} {self.message} … {time.monotonic() - started:.0f} s"
                    if len(line) < len(self._shown):
                        self._wipe()
                    self._shown = line
                    sys.stderr.write(f"\r{line}")
                    sys.stderr.flush()
                frame += 1
            with self._writing:
                self._wipe()
                sys.stderr.flush()

    def _wipe(self) -> None:
        if self._shown:
            sys.stderr.write(f"\r{' ' * len(self._shown)}\r")  # no escape sequence: a dumb terminal would print it
        self._shown = ""
