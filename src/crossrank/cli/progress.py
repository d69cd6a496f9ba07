"""A sign of life on a terminal for whatever takes over a second; silent in pipes."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def queries_bar(total: int, done: int) -> Any:
    """A bar over queries with rate and time left, of which `done` say nothing about the rate."""
    return terminal_bar(total, QUERIES, initial=done, unit=" queries", delay=AFTER_S)


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
def waiting(message: str) -> Iterator[None]:
    """Shows the message with the seconds that have passed, on stderr, while the body runs; leaves the line empty."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_spin, args=(message, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _spin(message: str, done: threading.Event) -> None:
    started = time.monotonic()
    if done.wait(AFTER_S):
        return
    line, frame = "", 0
    with suppress(OSError):  # a terminal that has gone is no reason to stop
        while not done.wait(EVERY_S):
            line = f"{FRAMES[frame % len(FRAMES)]} {message} … {time.monotonic() - started:.0f} s"
            sys.stderr.write(f"\r{line}")
            sys.stderr.flush()
            frame += 1
        sys.stderr.write(f"\r{' ' * len(line)}\r")  # no escape sequence: a dumb terminal would print it
        sys.stderr.flush()
