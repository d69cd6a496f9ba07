"""The models that are served, by name: opened when they are wanted, closed when memory is short, replaced on demand.

Whoever is answering holds the model it answers with, so that none is closed under a call. It is given a function that
opens a model; what that is, and where, it does not know.
"""

import asyncio
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crossrank.errors import CrossrankError, UsageError
from crossrank.server.refusals import MODEL, UNAVAILABLE, Refusal
from crossrank.types import Document, Ranking

BUNDLED = "crossrank-mini"
NAMED = re.compile(r"([\w./:@-]+)=(.+)")
PAUSE_S = 30.0  # after a model could not be opened, until that is tried again
MB = 1_000_000
log = logging.getLogger("crossrank.server")


class AsyncRanker(Protocol):
    """What answers: a model of this machine or a vendor's."""

    async def arank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
    ) -> Ranking:
        """The documents in order; rankers that have a `priority` are given one, too."""
        ...

    async def ascore(self, pairs: Sequence[tuple[str, Document]], *, raw: bool = False) -> Any:
        """A number for each pair, in order."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


Open = Callable[[str], AsyncRanker]  # opens a model by its spec, in a thread; raises errors of ours


@dataclass(slots=True, eq=False)
class Opened:
    """A model that is open, and how many calls hold it."""

    ranker: AsyncRanker
    prioritised: bool
    held: int = 0
    retired: bool = False  # closed by whoever lets go of it last

    @classmethod
    def of(cls, ranker: AsyncRanker) -> "Opened":
        """The model, and whether its calls take a priority."""
        return cls(ranker, "priority" in inspect.signature(ranker.arank).parameters)


@dataclass(slots=True, eq=False)
class Model:
    """One served model, open or not.

    Attributes:
        name: as callers name it.
        spec: as it is opened.
        opened: what answers now.
        opening: the work of opening it, while that goes on.
        used: when it last answered.
        failed: until when opening it is not tried again, and why.
    """

    name: str
    spec: str
    opened: Opened | None = None
    opening: "asyncio.Future[None] | None" = None
    used: float = 0.0
    failed: tuple[float, str] | None = None


class Models:
    """All models of one server process. Used in one event loop.

    Args:
        given: as `--model` has them: SPEC or NAME=SPEC; the first is asked by calls that name none.
        open_model: opens one.
        strict: whether a name that is not served is refused even if there is one model only.
        memory_max_mb: megabytes of the process above which models that nobody uses are closed.
        memory_mb: how many the process has now.
    """

    def __init__(
        self,
        given: Sequence[str],
        open_model: Open,
        *,
        strict: bool = False,
        memory_max_mb: int | None = None,
        memory_mb: Callable[[], float] | None = None,
    ) -> None:
        self._open_model = open_model
        self._strict = strict
        self._memory_max_mb = memory_max_mb
        self._memory_mb = memory_mb or resident_mb
        self._models = {name: Model(name, spec) for name, spec in map(named, given or (BUNDLED,))}
        if len(self._models) < len(given):
            raise UsageError("--model: two models have the same name; give one of them another with NAME=MODEL")
        self._taken_for: set[str] = set()
        self._reloading = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """The names, the first being the one that answers calls without a name."""
        return list(self._models)

    @property
    def ready(self) -> bool:
        """Whether the first model is open."""
        return next(iter(self._models.values())).opened is not None

    def facts(self) -> dict[str, str]:
        """What is known of how the first model runs, while it is open: `backend`, `device`, `precision`."""
        opened = next(iter(self._models.values())).opened
        found = getattr(opened.ranker, "facts", None) if opened is not None else None
        return {name: str(getattr(found, name, "unknown")) for name in ("backend", "device", "precision")}

    def name_of(self, wanted: str | None) -> str:
        """The served name that a call means.

        Raises:
            Refusal: 404, there is no such model.
        """
        if wanted in self._models:
            return wanted
        if not wanted or (len(self._models) == 1 and not self._strict):
            name = next(iter(self._models))
            if wanted and wanted not in self._taken_for and len(self._taken_for) < 100:
                self._taken_for.add(wanted)
                log.info("a model is asked by another name", extra={"facts": {"wanted": wanted[:100], "model": name}})
            return name
        raise Refusal(404, MODEL, f"model {wanted[:100]!r} not found; served are {', '.join(self._models)}")

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[Opened]:
        """A served model, opened if it is not, and not closed before the end of the `with`."""
        model = self._models[name]
        while (opened := model.opened) is None:
            await self._open(model)
        opened.held += 1
        model.used = time.monotonic()
        try:
            yield opened
        finally:
            opened.held -= 1
            if opened.retired and not opened.held:
                await asyncio.to_thread(opened.ranker.close)

    async def reload(self) -> None:
        """Open every open model anew; each answers until its successor can, and goes on if that cannot be opened."""
        async with self._reloading:
            for model in self._models.values():
                model.failed = None
                if model.opened is None:
                    continue
                try:
                    successor = Opened.of(await asyncio.to_thread(self._open_model, model.spec))
                except CrossrankError as exc:
                    log.warning("a model could not be reloaded", extra={"facts": _failure(model, exc)})
                    continue
                before, model.opened = model.opened, successor
                await self._retire(before)
                log.info("a model was reloaded", extra={"facts": {"model": model.name}})

    async def close(self) -> None:
        """Close all; those that are in use, when they are not any more."""
        for model in self._models.values():
            if model.opening is not None:
                await asyncio.wait([model.opening])  # a thread cannot be stopped
            before, model.opened = model.opened, None
            await self._retire(before)

    async def _open(self, model: Model) -> None:
        """Have a model opened, once for all who want it; it goes on if who wanted it hangs up."""
        if model.opening is None:
            if model.failed is not None and model.failed[0] > time.monotonic():
                raise Refusal(503, UNAVAILABLE, model.failed[1], retry_after_s=model.failed[0] - time.monotonic())
            model.opening = asyncio.ensure_future(self._opened(model))
            model.opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits
        await asyncio.shield(model.opening)

    async def _opened(self, model: Model) -> None:
        started = time.perf_counter()
        try:
            model.opened = Opened.of(await asyncio.to_thread(self._open_model, model.spec))
        except CrossrankError as exc:
            message = f"the model {model.name!r} cannot be opened now; the log says why"
            model.failed = (time.monotonic() + PAUSE_S, message)
            log.warning("a model could not be opened", extra={"facts": _failure(model, exc)})
            raise Refusal(503, UNAVAILABLE, message, retry_after_s=PAUSE_S) from exc
        finally:
            model.opening = None
        model.failed = None
        seconds = round(time.perf_counter() - started, 3)
        log.info("a model was opened", extra={"facts": {"model": model.name, "seconds": seconds}})
        await self._make_room(model)

    async def _make_room(self, newest: Model) -> None:
        """Close models that nobody uses, least recently used first, until the process is small enough."""
        while self._memory_max_mb is not None and self._memory_mb() > self._memory_max_mb:
            idle = [m for m in self._models.values() if m is not newest and m.opened is not None and not m.opened.held]
            if not idle:
                return
            oldest = min(idle, key=lambda model: model.used)
            before, oldest.opened = oldest.opened, None
            await self._retire(before)
            log.info("a model was closed for memory", extra={"facts": {"model": oldest.name}})

    async def _retire(self, opened: Opened | None) -> None:
        if opened is None:
            return
        opened.retired = True
        if not opened.held:
            await asyncio.to_thread(opened.ranker.close)


def named(given: str) -> tuple[str, str]:
    """Name and spec of a model as `--model` has it; a URL or a name without `=` is its own name."""
    found = NAMED.fullmatch(given)
    return (found[1], found[2]) if found and "://" not in found[1] else (given, given)


def resident_mb(pid: int | str = "self") -> float:
    """Megabytes of a process, of this one by default, that are in memory; 0 where that cannot be read."""
    import resource

    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / MB


def _failure(model: Model, exc: Exception) -> dict[str, str]:
    return {"model": model.name, "error": type(exc).__name__, "why": str(exc)}
