"""Pairs in, what the model says of them out: the one place where text becomes numbers.

It knows pairs, tokens and logits; not documents, rankings, HTTP or which backend it runs on.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import Backend, Batch, Limits, Logits, Pending, Row
from crossrank.checkpoint.profile import ModelProfile
from crossrank.engine.cache import Guarded, cache_keys
from crossrank.engine.encode import Encoded, Encoder, Tokens
from crossrank.engine.head import activate, aggregated, read
from crossrank.engine.language import LanguageGuard
from crossrank.engine.pair import Pair, Scored, preview
from crossrank.engine.plan import plan, portions
from crossrank.errors import NotFiniteError

PORTION_CHARACTERS = 256_000  # about 64k tokens: what is tokenised and in memory at a time


@dataclass(slots=True)
class Outcome:
    """What came of a call.

    Attributes:
        results: what the model said, by pair; a pair is missing where the deadline came first.
        fresh: the pairs that went through the model for this call; the others were known.
        timings: seconds by stage: waiting for the engine, tokenising, running.
    """

    results: dict[Pair, Scored]
    fresh: set[Pair] = field(default_factory=set)
    timings: dict[str, float] = field(default_factory=lambda: {"queue": 0.0, "tokenize": 0.0, "run": 0.0})

    def usage(self, pairs: Iterable[Pair]) -> dict[str, int]:
        """Counts over some of the call's pairs: `pairs` and `tokens` through the model, and `cached` pairs."""
        found = {pair: self.results[pair] for pair in pairs if pair in self.results}
        fresh = [scored for pair, scored in found.items() if pair in self.fresh]
        return {"pairs": len(fresh), "cached": len(found) - len(fresh), "tokens": sum(s.cost for s in fresh)}


@dataclass(slots=True)
class Begun:
    """Pairs that the backend is at.

    Attributes:
        pairs: all different.
        encoded: what each became.
        rows: the rows of all, in order.
        owners: whose each row is.
        batches: ranges of rows, and what waits for their logits.
        tokenize_s: seconds it took to tokenise.
        run_s: seconds spent on the backend, until its logits were there.
    """

    pairs: Sequence[Pair]
    encoded: list[Encoded]
    rows: list[Row]
    owners: list[Pair]
    batches: list[tuple[range, Pending]] = field(default_factory=list)
    tokenize_s: float = 0.0
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scorer:
    """One open model. `identity` tells its scores from those of every other model in a shared cache.

    `folder` is that of its files, for whoever wants to know which model this is. `guard` looks at some of the texts.
    """

    profile: ModelProfile
    encoder: Encoder
    backend: Backend
    cache: Guarded | None
    identity: bytes
    folder: Path = Path()
    guard: LanguageGuard | None = None

    def score(self, pairs: Sequence[Pair]) -> Outcome:
        """What the model says of each pair, computed in the caller's own thread. Equal pairs are scored once."""
        outcome = Outcome(self.recall(pairs))
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in outcome.results]
        for portion in portions((pair.characters for pair in fresh), PORTION_CHARACTERS):
            begun = self.begin([fresh[i] for i in portion])
            scored = self.finish(begun)
            outcome.results.update(scored)
            outcome.fresh.update(scored)
            outcome.timings["tokenize"] += begun.tokenize_s
            outcome.timings["run"] += begun.run_s
        return outcome

    def recall(self, pairs: Iterable[Pair]) -> dict[Pair, Scored]:
        """What the cache knows of these pairs."""
        if self.cache is None:
            return {}
        distinct = list(dict.fromkeys(pairs))
        keys = cache_keys(self.identity, distinct)
        found = self.cache.get_many(keys)
        return {pair: found[key] for key, pair in zip(keys, distinct, strict=True) if key in found}

    def begin(
        self,
        pairs: Sequence[Pair],
        known: Mapping[str, Tokens] | None = None,
        *,
        stop: Callable[[], bool] | None = None,
        hurried: bool = False,
        aside: bool = False,
    ) -> Begun:
        """Tokenise pairs, all different, and start what their rows need.

        Args:
            pairs: queries with the texts of documents.
            known: texts that were tokenised before.
            stop: looked at between batches; after it says so, no more are begun.
            hurried: small batches, each waited for before the next, so that `stop` is looked at often.
            aside: the caller has something to do while the backend is at it.
        """
        started = time.perf_counter()
        if self.guard is not None and self.guard.awake:
            self.guard.look(pairs)
        encoded = self.encoder.encode(pairs, known or {})
        rows = [row for item in encoded for row in item.rows]
        owners = [pair for pair, item in zip(pairs, encoded, strict=True) for _ in item.rows]
        begun = Begun(pairs, encoded, rows, owners, tokenize_s=time.perf_counter() - started)
        started = time.perf_counter()
        for batch in plan([len(row.ids) for row in rows], self._limits(hurried=hurried)):
            if stop is not None and stop():
                break
            pending = self.backend.begin(Batch.of(rows[batch.start : batch.stop]), aside=aside and not hurried)
            begun.batches.append((batch, _known(pending()) if hurried else pending))
        begun.run_s = time.perf_counter() - started
        return begun

    def finish(self, begun: Begun) -> dict[Pair, Scored]:
        """Wait for what was begun, and keep what came of it; pairs that were not reached are left out.

        Raises:
            NotFiniteError: a logit is not finite, in fp32 too.
        """
        started = time.perf_counter()
        parts = [self._checked(pending(), begun, batch) for batch, pending in begun.batches]
        begun.run_s += time.perf_counter() - started
        logits = np.concatenate(parts) if parts else np.empty(0, np.float32)
        scored = self._merge(begun.pairs, begun.encoded, logits)
        self._remember(scored)
        return scored

    def activate(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores fp32 of logits fp32, by the model's own activation."""
        return activate(logits, self.profile.score_activation)

    def _merge(self, pairs: Sequence[Pair], encoded: list[Encoded], logits: NDArray[np.float32]) -> dict[Pair, Scored]:
        """What each document's windows come to; documents whose last window was not reached are left out."""
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

    def _checked(self, logits: Logits, begun: Begun, batch: range) -> NDArray[np.float32]:
        """Logits [rows]; those that are not finite are computed again in fp32, and an error if they stay."""
        checked = read(logits, self.profile.reading)
        broken = np.flatnonzero(~np.isfinite(checked))
        if len(broken):
            rows = [begun.rows[batch.start + i] for i in broken]
            checked[broken] = read(self.backend.run(Batch.of(rows), exact=True), self.profile.reading)
            for i in broken:
                if not np.isfinite(checked[i]):
                    pair = begun.owners[batch.start + i]
                    raise NotFiniteError(
                        f"{self.profile.name!r} gives {checked[i]} for the query {preview(pair.query)} and the "
                        f"document {preview(pair.document)}, in fp32 too. The checkpoint's weights are likely broken: "
                        "download or export the model again."
                    )
        return checked

    def _limits(self, *, hurried: bool) -> Limits:
        limits = self.backend.limits
        return Limits(min(limits.tokens_hurried, limits.tokens_max), limits.rows_max) if hurried else limits

    def _remember(self, scored: Mapping[Pair, Scored]) -> None:
        if self.cache is not None and scored:
            self.cache.put_many(dict(zip(cache_keys(self.identity, scored), scored.values(), strict=True)))


def _known(logits: Logits) -> Pending:
    return lambda: logits
