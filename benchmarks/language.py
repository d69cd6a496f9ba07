"""What the language guard costs a call, and how often it would warn of English: of the first texts of every set.

Each text is given as often as makes the guard look closely, as if all of a caller's texts were like it: far more often
than in use, where three doubtful ones of a call have to come together.
"""

import gzip
import itertools
import json
import logging
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from crossrank.engine import language
from crossrank.engine.pair import Pair

TEXTS = 1_200  # of a set
CALLS = 2_000
ENGLISH = frozenset({"en"})


def measure(data: Path) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, target); none without the detector."""
    if find_spec("py3langid") is None:
        print("language: left out, as py3langid is not installed (pip install 'crossrank[language]')", file=sys.stderr)
        return []
    texts = list(_texts(data))
    closely = 0
    identify = language.detector()
    logging.getLogger("crossrank").addHandler(counter := _Counter())
    for number, text in enumerate(texts):  # each for a model of its own, of which nobody has been warned
        guard = language.LanguageGuard(f"model {number}", ENGLISH, opener=lambda: identify)
        guard.look([Pair("query", text)] * language.PER_CALL)
        closely += not guard.awake
        _join()
    pairs = [Pair("query", text) for text in texts[:100]]
    return [
        ("a look at a call with 100 documents", f"{_look_us(pairs):.0f} us", ""),
        (f"of {len(texts):,} English texts, looked at closely", f"{closely:,}", ""),
        ("of these, taken for another language", f"{counter.warnings:,}", ""),
    ]


def _texts(data: Path) -> Iterator[str]:
    for file in sorted(data.glob("*/corpus.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in itertools.islice(lines, TEXTS):
                yield json.loads(line)["text"]


def _look_us(pairs: list[Pair]) -> float:
    seconds = []
    for _ in range(CALLS):
        guard = language.LanguageGuard("model", ENGLISH, opener=lambda: lambda _: ("en", 1.0))
        started = time.perf_counter()
        guard.look(pairs)
        seconds.append(time.perf_counter() - started)
        _join()
    return statistics.median(seconds) * 1e6


def _join() -> None:
    for thread in threading.enumerate():
        if thread.name == "crossrank-language":
            thread.join()


class _Counter(logging.Handler):
    """Counts warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings = 0

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - as logging has it
        self.warnings += 1
