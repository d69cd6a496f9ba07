"""A vendor's API or a server, through `RemoteReranker`; the budget bounds what a measurement may spend."""

from typing import Any

from crossrank.remote import Price, RemoteReranker
from crossrank.remote.costs import NANO

TRIES_S = 60.0


class Runner:
    """`rank`, as an application calls it; the key is read from the environment of this process."""

    precision, device = "", "API"

    def __init__(self, options: dict[str, Any]) -> None:
        price = options.get("price")
        self._reranker = RemoteReranker(
            options["model"],
            cache=None,
            timeout_s=TRIES_S,
            cost_max_usd=options["cost_max_usd"],
            price=None if price is None else Price(**price),
        )
        self.detail = self._reranker.facts.base_url
        self._usage: dict[str, int] = {}

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Scores in the order of the pairs, which share their query."""
        ranking = self._reranker.rank(pairs[0][0], [document for _, document in pairs])
        self._usage = dict(ranking.usage)
        scores = [0.0] * len(pairs)
        for hit in ranking:
            scores[hit.index] = hit.score or 0.0
        return scores

    def told(self, _: list[tuple[str, str]]) -> dict[str, float]:
        """Of the last call: what the vendor counted, and its estimated cost."""
        told: dict[str, float] = {}
        if "tokens" in self._usage:
            told["tokens"] = self._usage["tokens"]
        if "cost_nanousd" in self._usage:
            told["cost_usd"] = self._usage["cost_nanousd"] / NANO
        return told
