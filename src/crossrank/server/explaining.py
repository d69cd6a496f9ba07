"""Explanations for callers: what one costs, and the few threads that they are made in.

It knows whatever has an `explain`; not models, dialects or HTTP.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from crossrank.errors import UsageError
from crossrank.wire import Call

AT_A_TIME = 2
# Of each unit how many a document is cut into at most, and about how many characters one has.
UNITS: Mapping[str, tuple[int, int]] = {"sentence": (64, 60), "word": (256, 5)}
PASSAGE_MAX = 20_000  # characters that are explained of a long document


def cost(call: Call, unit: str, size: int) -> tuple[int, int]:
    """Pairs that are scored for an explanation, and the characters in them; estimates from the size of the body.

    Each unit is left out once, and given alone once.
    """
    units_max, characters = UNITS[unit]
    units = min(units_max, size // characters + 1)
    return 2 * units + 2, units * (2 * len(call.query) + min(size, PASSAGE_MAX))


class Explainer:
    """Makes explanations, a few at a time. Used in one event loop.

    A thread cannot be stopped: who hangs up leaves it at work. A place is free when its thread is done, so that what
    nobody waits for cannot pile up.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def explain(self, ranker: Any, call: Call, unit: str) -> dict[str, Any]:
        """What each unit of the call's one document adds to its score, as `Explanation.to_dict` says it.

        Raises:
            UsageError: the ranker explains nothing.
        """
        ask = getattr(ranker, "explain", None)
        if ask is None:
            raise UsageError("this model explains nothing; ask another that is served")
        await self._places.acquire()
        asked = partial(ask, call.query, call.documents[0], unit=unit, fields=call.fields)
        working = asyncio.get_running_loop().run_in_executor(None, asked)
        working.add_done_callback(self._free)
        told: dict[str, Any] = (await asyncio.shield(working)).to_dict()
        return told

    def _free(self, done: "asyncio.Future[Any]") -> None:
        self._places.release()
        if not done.cancelled():
            done.exception()  # perhaps nobody waits for it any more
