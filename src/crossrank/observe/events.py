"""What can be observed. A value a fact; each knows counts, seconds and names, never a query, a document or a key.

It knows the standard library only.
"""

from dataclasses import dataclass, field
from time import time

OK = "ok"  # the outcome of what did not fail


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingDone:
    """A ranking, or a call of `score`, has ended, well or not: one of these each.

    Stages may overlap (one portion is tokenised while another runs) and be shared with other callers, so that they
    need not add up to `total_s`.

    Attributes:
        model: the model's name, as in `Hit.scored_by`; of a remote one what it was opened as, "cohere:rerank-v4.0-pro".
        call: the method that was called: "rank", "rank_many", "score", whether awaited or not.
        documents: how many were given.
        pairs: how many of them went through the model.
        cached: how many were known already.
        tokens: that the model read, or that a vendor billed.
        queue_s: seconds of waiting for other callers' work.
        tokenize_s: seconds of tokenising.
        run_s: seconds in the model, or on the way to a vendor and back, waits between tries included.
        total_s: seconds from the call to its end.
        outcome: "ok", or the name of the error's class.
        search_units: that a vendor billed.
        cost_usd: what a vendor takes for it, by estimate.
        retries: tries after the first.
        at: when it ended, in seconds since the epoch.
    """

    model: str
    call: str
    documents: int
    pairs: int = 0
    cached: int = 0
    tokens: int = 0
    queue_s: float = 0.0
    tokenize_s: float = 0.0
    run_s: float = 0.0
    total_s: float = 0.0
    outcome: str = OK
    search_units: int = 0
    cost_usd: float = 0.0
    retries: int = 0
    at: float = field(default_factory=time)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRan:
    """Rows went through the model together.

    Attributes:
        model: the model's name.
        rows: sequences: a long document is several.
        tokens: of all rows.
        callers: whose work it was: more than 1 where callers shared it.
        tokenize_s: seconds of tokenising what is in it.
        run_s: seconds in the model.
        at: when it ended, in seconds since the epoch.
    """

    model: str
    rows: int
    tokens: int
    callers: int = 1
    tokenize_s: float = 0.0
    run_s: float = 0.0
    at: float = field(default_factory=time)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAsked:
    """A tier of a cache was asked for some keys at once.

    Attributes:
        tier: "memory", "sqlite", "redis", "tokens", or the class of a cache of the caller's own.
        hits: keys it knew.
        misses: keys it did not know.
        seconds: until it answered.
        age_s: of the oldest hit, where the tier knows.
        at: when it ended, in seconds since the epoch.
    """

    tier: str
    hits: int
    misses: int
    seconds: float = 0.0
    age_s: float | None = None
    at: float = field(default_factory=time)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOpened:
    """A model is ready to score.

    Attributes:
        model: the model's name.
        backend: "native", "torch" or "onnx".
        device: where it runs.
        precision: what "auto" was resolved into.
        seconds: from its name to being ready, a download included.
        at: when it was ready, in seconds since the epoch.
    """

    model: str
    backend: str
    device: str
    precision: str
    seconds: float
    at: float = field(default_factory=time)


STAGES = ("queue", "tokenize", "run")  # of a RankingDone, in the order in which they begin

Event = RankingDone | BatchRan | CacheAsked | ModelOpened
