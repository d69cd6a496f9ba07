"""Pairs in, what the model says of them out: the one place where text becomes numbers.

It knows pairs, tokens and logits; not documents, rankings, HTTP or which backend it runs on.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Backend, Batch, Limits, Logits, Pending, Row
from crossrank.checkpoint.profile import ModelProfile
from crossrank.engine.cache import ScoreCache, cache_key
from crossrank.engine.encode import Encoded, Encoder, Tokens
from crossrank.engine.head import activate, aggregated, read
from crossrank.engine.pair import Pair, Scored, preview
from crossrank.engine.plan import plan, portions
from crossrank.errors import NotFiniteError

PORTION_CHARACTERS = 256_000  # about 64k tokens: what is tokenised and in memory at a time
HURRIED_CHARACTERS = 16_000  # the same under a deadline, which is looked at between portions and between batches


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
class Portion:
    """Some of a call's pairs, tokenised: each one's rows, all rows in order, and whose each is."""

    pairs: list[Pair]
    encoded: list[Encoded]
    rows: list[Row]
    owners: list[Pair]


@dataclass(frozen=True, slots=True)
class Begun:
    """A portion that a backend is at: rows, and what waits for their logits."""

    portion: Portion
    batches: list[tuple[range, Pending]] = field(default_factory=list)


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
        begun: Begun | None = None
        try:
            for portion in portions((len(pair.query) + len(pair.document) for pair in fresh), size_max):
                if deadline is not None and self.clock() >= deadline:
                    break
                # A device of its own is busy with the portion before while this one is tokenised and begun.
                encoded = self._encode([fresh[i] for i in portion], known or {}, outcome.timings)
                following = self._begin(encoded, deadline, outcome.timings)
                begun, before = following, begun
                self._finish(before, outcome)
        finally:
            self._finish(begun, outcome)
        return outcome

    def activate(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores fp32 of logits fp32, by the model's own activation."""
        return activate(logits, self.profile.score_activation)

    def _encode(self, pairs: list[Pair], known: Mapping[str, Tokens], timings: dict[str, float]) -> Portion:
        started = time.perf_counter()
        encoded = self.encoder.encode(pairs, known)
        timings["tokenize"] += time.perf_counter() - started
        rows = [row for item in encoded for row in item.rows]
        return Portion(
            pairs, encoded, rows, [pair for pair, item in zip(pairs, encoded, strict=True) for _ in item.rows]
        )

    def _begin(self, portion: Portion, deadline: float | None, timings: dict[str, float]) -> Begun:
        """Start what the portion's rows need; with a deadline one batch after the other, as far as it comes."""
        begun = Begun(portion)
        for batch in plan([len(row.ids) for row in portion.rows], self._limits(deadline)):
            if deadline is not None and self.clock() >= deadline:
                break
            started = time.perf_counter()
            pending = self.backend.begin(Batch.of(portion.rows[batch.start : batch.stop]))
            if deadline is not None:
                pending = _known(pending())
            begun.batches.append((batch, pending))
            timings["run"] += time.perf_counter() - started
        return begun

    def _finish(self, begun: Begun | None, outcome: Outcome) -> None:
        """Wait for what was begun, and keep what came of it."""
        if begun is None:
            return
        started = time.perf_counter()
        portion = begun.portion
        parts = [self._checked(pending(), portion, batch) for batch, pending in begun.batches]
        outcome.timings["run"] += time.perf_counter() - started
        logits = np.concatenate(parts) if parts else np.empty(0, np.float32)
        scored = self._merge(portion.pairs, portion.encoded, logits)
        self._remember(scored)
        outcome.results.update(scored)
        outcome.fresh.update(scored)

    def _merge(self, pairs: list[Pair], encoded: list[Encoded], logits: NDArray[np.float32]) -> dict[Pair, Scored]:
        """The best window of each document; documents whose last window was not reached are left out."""
        merged: dict[Pair, Scored] = {}
        start = 0
        for pair, item in zip(pairs, encoded, strict=True):
            stop = start + len(item.rows)
            if stop > len(logits):
                break
            passage = item.passages[int(np.argmax(logits[start:stop]))]
            logit = aggregated(logits[start:stop], self.encoder.config.aggregate.best)
            cost = sum(len(row.ids) for row in item.rows)
            merged[pair] = Scored(logit, item.tokens, item.truncated, passage, cost)
            start = stop
        return merged

    def _checked(self, logits: Logits, portion: Portion, batch: range) -> NDArray[np.float32]:
        """Logits [rows]; those that are not finite are computed again in fp32, and an error if they stay."""
        checked = read(logits, self.profile.reading)
        broken = np.flatnonzero(~np.isfinite(checked))
        if len(broken):
            rows = [portion.rows[batch.start + i] for i in broken]
            checked[broken] = read(self.backend.run(Batch.of(rows), exact=True), self.profile.reading)
            for i in broken:
                if not np.isfinite(checked[i]):
                    pair = portion.owners[batch.start + i]
                    raise NotFiniteError(
                        f"{self.profile.name!r} gives {checked[i]} for the query {preview(pair.query)} and the "
                        f"document {preview(pair.document)}, in fp32 too. The checkpoint's weights are likely broken: "
                        "download or export the model again."
                    )
        return checked

    def _limits(self, deadline: float | None) -> Limits:
        limits = self.backend.limits
        return limits if deadline is None else Limits(min(limits.tokens_hurried, limits.tokens_max), limits.rows_max)

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


def _known(logits: Logits) -> Pending:
    return lambda: logits
