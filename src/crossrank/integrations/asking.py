"""How every integration asks for scores: of a model that is opened when it is first needed, or of any ranker.

It knows rankers and texts; no framework.
"""

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from crossrank.arguments import AsItStands
from crossrank.awaiting import in_thread
from crossrank.errors import ArgumentTypeError, MissingExtra, UsageError
from crossrank.remote.names import is_remote
from crossrank.reranker import Reranker

Pairs = Sequence[tuple[str, str]]
METHODS = ("rank", "arank", "score", "predict")  # one of which is enough


class Place(NamedTuple):
    """One text's place.

    Attributes:
        at: position in the input.
        score: as a number to sort and filter by: NaN where there is none.
        logit: if it is known.
        scored: False where the ranker gave none, as when a deadline came first.
    """

    at: int
    score: float
    logit: float | None = None
    scored: bool = True

    @property
    def given(self) -> float | None:
        """The score as the ranker gave it."""
        return self.score if self.scored else None


class Asking:
    """What is asked for scores. Opens nothing before the first question; safe in threads and event loops.

    Args:
        model: what `Reranker` takes; None for the bundled model.
        ranker: in place of a model: an object with `rank` or `arank`, `score(pairs)` or `predict(pairs)`.
        options: further ones of `Reranker`; those that are None are left out.
    """

    def __init__(self, model: str | None = None, ranker: Any = None, **options: Any) -> None:
        if ranker is not None and model is not None:
            raise UsageError(f"Both model={model!r} and ranker= were given; give one of them")
        self._model, self._given = model, None if ranker is None else checked(ranker)
        self._options = {name: value for name, value in options.items() if value is not None}
        self._ranker, self._lock = self._given, threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as what was asked for: a copy opens its model anew."""
        return (partial(type(self), **self._options), (self._model, self._given))

    @property
    def name(self) -> str:
        """What is asked, for people."""
        return type(self._given).__name__ if self._given is not None else self._model or "crossrank-mini"

    def open(self) -> Any:
        """The ranker, opened now if it was not."""
        with self._lock:
            if self._ranker is None:
                cut: dict[str, Any] = {} if is_remote(self._model) else {"long_documents": "truncate"}
                self._ranker = Reranker(self._model, **cut, **self._options)
            return self._ranker

    async def aopen(self) -> Any:
        """The same; the event loop goes on."""
        return self._ranker if self._ranker is not None else await in_thread(self.open)

    def places(self, query: str, texts: Sequence[str]) -> list[Place]:
        """Each text's place, best first; what has no score, or NaN, comes last in the order of the input."""
        if not texts:
            return []
        ranker = self.open()
        asked = as_it_stands(query, ranker)
        if _by_pairs(ranker):
            return _sorted(_scored(ranker, [(asked, text) for text in texts]))
        if not hasattr(ranker, "rank"):
            raise UsageError(f"{type(ranker).__name__} can only be awaited; use the asynchronous calls")
        return _last_things_last(ranker.rank(asked, texts))

    async def aplaces(self, query: str, texts: Sequence[str]) -> list[Place]:
        """As `places`, awaited: concurrent callers of one model share its batches."""
        if not texts:
            return []
        ranker = await self.aopen()
        asked = as_it_stands(query, ranker)
        if _by_pairs(ranker):
            return _sorted(await _ascored(ranker, [(asked, text) for text in texts]))
        if (arank := getattr(ranker, "arank", None)) is not None:
            return _last_things_last(await arank(asked, texts))
        return _last_things_last(await in_thread(partial(ranker.rank, asked, texts)))

    def scores(self, pairs: Pairs) -> list[float]:
        """A score a pair, in order."""
        if not pairs:
            return []
        ranker = self.open()
        return _scored(ranker, [(as_it_stands(query, ranker), text) for query, text in pairs])

    async def ascores(self, pairs: Pairs) -> list[float]:
        """As `scores`, awaited."""
        if not pairs:
            return []
        ranker = await self.aopen()
        return await _ascored(ranker, [(as_it_stands(query, ranker), text) for query, text in pairs])


def best(places: list[Place], top: int | None, threshold: float | None) -> list[Place]:
    """At most `top` of them, and with a threshold only those whose score reaches it."""
    kept = places if threshold is None else [place for place in places if place.score >= threshold]
    return kept[:top]


def as_it_stands(query: str, ranker: Any) -> str:
    """The query; a framework's empty one is ranked too, by a model of our own."""
    return AsItStands(query) if isinstance(ranker, Reranker) and not query.strip() else query


def checked(ranker: Any) -> Any:
    """The ranker, if it can be asked.

    Raises:
        ArgumentTypeError: it cannot.
    """
    if isinstance(ranker, type) or not any(callable(getattr(ranker, m, None)) for m in METHODS):
        raise ArgumentTypeError(
            f"ranker={ranker!r} cannot rank; give an object with rank(query, documents), or with score(pairs). "
            "The name of a model goes to model=."
        )
    return ranker


def valid(ranker: Any) -> Any:
    """As `checked`, for pydantic, which makes a ValidationError of a ValueError only."""
    try:
        return checked(ranker)
    except ArgumentTypeError as exc:
        raise ValueError(str(exc)) from exc


def missing(framework: str, extra: str, exc: ImportError) -> MissingExtra:
    """The error of a framework that is not installed."""
    return MissingExtra(f"{framework} is not installed ({exc}). Run: pip install 'crossrank[{extra}]'")


def _by_pairs(ranker: Any) -> bool:
    """Whether it is no ranker but a scorer of pairs. A CrossEncoder has a `rank` too, which gives dicts."""
    return hasattr(ranker, "predict") or not (hasattr(ranker, "rank") or hasattr(ranker, "arank"))


def _scored(ranker: Any, pairs: Pairs) -> list[float]:
    call = getattr(ranker, "score", None) or ranker.predict
    return _checked_scores(call(pairs), pairs)


async def _ascored(ranker: Any, pairs: Pairs) -> list[float]:
    if (ascore := getattr(ranker, "ascore", None)) is not None:
        return _checked_scores(await ascore(pairs), pairs)
    call: Callable[[], list[float]] = partial(_scored, ranker, pairs)
    return await in_thread(call)


def _checked_scores(given: Any, pairs: Pairs) -> list[float]:
    scores = [float(score) for score in given]
    if len(scores) != len(pairs):
        raise UsageError(f"The ranker gave {len(scores)} scores for {len(pairs)} texts; it must give one for each")
    return scores


def _sorted(scores: list[float]) -> list[Place]:
    order = sorted(range(len(scores)), key=lambda i: math.inf if math.isnan(scores[i]) else -scores[i])
    return [Place(i, scores[i]) for i in order]


def _last_things_last(ranking: Any) -> list[Place]:
    places = [
        Place(h.index, math.nan if h.score is None else float(h.score), h.logit, h.score is not None) for h in ranking
    ]
    unscored = sorted((p for p in places if math.isnan(p.score)), key=lambda place: place.at)
    return [place for place in places if not math.isnan(place.score)] + unscored
