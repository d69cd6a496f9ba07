"""Pairs in, what the model says of them out: the one place where text becomes numbers.

It knows pairs, tokens and logits; not documents, rankings, HTTP or which backend it runs on.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Backend, Batch, Limits, Row
from crossrank.checkpoint.profile import ModelProfile
from crossrank.engine.cache import ScoreCache, cache_key
from crossrank.engine.encode import Encoded, Encoder, Tokens
from crossrank.engine.head import activate
from crossrank.engine.pair import Pair, Scored, preview
from crossrank.engine.plan import plan, portions
from crossrank.errors import NotFiniteError

PORTION_CHARACTERS = 256_000  # about 64k tokens: what is tokenised and in memory at a time
HURRIED_CHARACTERS = 16_000  # the same under a deadline, which is looked at between portions and between batches
HURRIED_TOKENS = 512


@dataclass(slots=True)
class Outcome:
    """What came of a call.

    Attributes:
        results: what the model said, by pair; a pair is missing where the deadline came first.
        fresh: the pairs that went through the model in this call; the others were known.
        timings: seconds by stage.
    """

    results: dict[Pair, Scored]
    fresh: set[Pair] = field(default_factory=set)
    timings: dict[str, float] = field(default_factory=lambda: {"tokenize": 0.0, "run": 0.0})

    def usage(self, pairs: Iterable[Pair]) -> dict[str, int]:
        """Counts over some of the call's pairs: `pairs` and `tokens` through the model, and `cached` pairs."""
        found = {pair: self.results[pair] for pair in pairs if pair in self.results}
        fresh = [scored for pair, scored in found.items() if pair in self.fresh]
        return {"pairs": len(fresh), "cached": len(found) - len(fresh), "tokens": sum(s.cost for s in fresh)}


@dataclass(frozen=True, slots=True)
class Scorer:
    """One open model. `identity` tells its scores from those of every other model in a shared cache."""

    profile: ModelProfile
    encoder: Encoder
    backend: Backend
    cache: ScoreCache | None
    identity: bytes
    clock: Callable[[], float] = time.monotonic

    def score(
        self, pairs: Sequence[Pair], *, known: Mapping[str, Tokens] | None = None, deadline: float | None = None
    ) -> Outcome:
        """What the model says of each pair. Equal pairs are scored once.

        Args:
            pairs: queries with the texts of documents.
            known: texts that were tokenised before.
            deadline: the clock's time after which nothing more is begun.
        """
        outcome = Outcome(self._recall(pairs))
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in outcome.results]
        size_max = PORTION_CHARACTERS if deadline is None else HURRIED_CHARACTERS
        for portion in portions((len(pair.query) + len(pair.document) for pair in fresh), size_max):
            if deadline is not None and self.clock() >= deadline:
                break
            scored = self._score_portion([fresh[i] for i in portion], known or {}, deadline, outcome.timings)
            self._remember(scored)
            outcome.results.update(scored)
            outcome.fresh.update(scored)
        return outcome

    def activate(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores fp32 of logits fp32, by the model's own activation."""
        return activate(logits, self.profile.score_activation)

    def _score_portion(
        self, pairs: list[Pair], known: Mapping[str, Tokens], deadline: float | None, timings: dict[str, float]
    ) -> dict[Pair, Scored]:
        started = time.perf_counter()
        encoded = self.encoder.encode(pairs, known)
        timings["tokenize"] += time.perf_counter() - started
        rows = [row for item in encoded for row in item.rows]
        owners = [pair for pair, item in zip(pairs, encoded, strict=True) for _ in item.rows]
        logits = np.full(len(rows), np.nan, np.float32)
        done = 0
        for batch in plan([len(row.ids) for row in rows], self._limits(deadline)):
            if deadline is not None and self.clock() >= deadline:
                break
            started = time.perf_counter()
            logits[batch.start : batch.stop] = self._run(
                rows[batch.start : batch.stop], owners[batch.start : batch.stop]
            )
            timings["run"] += time.perf_counter() - started
            done = batch.stop
        return self._merge(pairs, encoded, logits[:done])

    def _merge(self, pairs: list[Pair], encoded: list[Encoded], logits: NDArray[np.float32]) -> dict[Pair, Scored]:
        """The best window of each document; documents whose last window was not reached are left out."""
        merged: dict[Pair, Scored] = {}
        start = 0
        for pair, item in zip(pairs, encoded, strict=True):
            stop = start + len(item.rows)
            if stop > len(logits):
                break
            best = int(np.argmax(logits[start:stop]))
            cost = sum(len(row.ids) for row in item.rows)
            merged[pair] = Scored(float(logits[start + best]), item.tokens, item.truncated, item.passages[best], cost)
            start = stop
        return merged

    def _run(self, rows: list[Row], owners: list[Pair]) -> NDArray[np.float32]:
        """Logits of the rows; those that are not finite are computed again in fp32, and an error if they stay."""
        logits = self.backend.run(Batch.of(rows))[:, 0]
        broken = np.flatnonzero(~np.isfinite(logits))
        if len(broken):
            logits[broken] = self.backend.run(Batch.of([rows[i] for i in broken]), exact=True)[:, 0]
            for i in broken:
                if not np.isfinite(logits[i]):
                    pair = owners[i]
                    raise NotFiniteError(
                        f"{self.profile.name!r} gives {logits[i]} for the query {preview(pair.query)} and the document "
                        f"{preview(pair.document)}, in fp32 too. The checkpoint's weights are likely broken: "
                        "download or export the model again."
                    )
        return logits

    def _limits(self, deadline: float | None) -> Limits:
        limits = self.backend.limits
        return limits if deadline is None else Limits(min(HURRIED_TOKENS, limits.tokens_max), limits.rows_max)

    def _recall(self, pairs: Sequence[Pair]) -> dict[Pair, Scored]:
        if self.cache is None:
            return {}
        keys = {cache_key(self.identity, pair): pair for pair in dict.fromkeys(pairs)}
        found = self.cache.get_many(list(keys))
        # A cache that comes from outside may hold anything; what is no number is scored anew.
        return {keys[key]: scored for key, scored in found.items() if math.isfinite(scored.logit)}

    def _remember(self, scored: Mapping[Pair, Scored]) -> None:
        if self.cache is not None and scored:
            self.cache.put_many({cache_key(self.identity, pair): result for pair, result in scored.items()})
