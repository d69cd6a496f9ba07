"""What a benchmark's child processes run in tests: each does one thing."""

import os
import threading
import time
from pathlib import Path
from typing import Any


class Plain:
    """Answers at once; appends what it was asked to a file, if it is given one."""

    precision, detail = "fp32", "plain"

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        if (file := self._options.get("asked")) is not None:
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(f"{len(pairs)} {pairs[0][0]} {sum(len(text) for _, text in pairs)}\n")
        return [0.0] * len(pairs)

    def told(self, pairs: list[tuple[str, str]]) -> dict[str, int]:
        return {"tokens": 10 * len(pairs)}


class Clocked(Plain):
    """Takes as long as it says, by its process's clock, which goes on at nothing else: a busy machine is no slower."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._now = time.perf_counter()
        time.perf_counter = lambda: self._now

    def takes_s(self, pairs: list[tuple[str, str]]) -> float:
        """Seconds for an answer."""
        raise NotImplementedError

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        self._now += self.takes_s(pairs)
        return super().score(pairs)


class Tuned(Clocked):
    """Is faster with one of its settings."""

    settings = (1, 2)

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._setting = 1

    def use(self, setting: int) -> None:
        self._setting = setting

    def takes_s(self, pairs: list[tuple[str, str]]) -> float:
        return 0.02 if self._setting == 1 else 0.01


class Slow(Clocked):
    """Takes a twentieth of a second for each pair."""

    def takes_s(self, pairs: list[tuple[str, str]]) -> float:
        return 0.05 * len(pairs)


class Refusing(Plain):
    """Cannot be opened."""

    def __init__(self, options: dict[str, Any]) -> None:
        raise ValueError("these weights are not for me")


class Failing(Plain):
    """Answers few documents, but not many."""

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        if len(pairs) > 2:
            raise RuntimeError("too many for me")
        return super().score(pairs)


class Dying(Plain):
    """Ends its process with the first question."""

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        os.write(2, b"no memory is left\n")
        os._exit(3)


class Silent(Plain):
    """Never answers."""

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        threading.Event().wait()
        raise AssertionError
