"""crossrank's own `Reranker` on this machine; its caches are off, so that every turn is work."""

from typing import Any

from crossrank.reranker import Reranker


class Runner:
    """`rank`, as an application calls it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._reranker = Reranker(**options, cache=None)
        facts = self._reranker.facts
        self.precision, self.device = facts.precision, facts.device
        self.detail = f"{facts.backend}/{facts.detail}" if facts.detail else facts.backend
        self._tokens = 0
        self._cuda: Any = None
        if facts.device.startswith("cuda"):
            import torch

            self._cuda = torch.cuda
            self._cuda.reset_peak_memory_stats(self.device)

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Logits in the order of the pairs, which share their query."""
        ranking = self._reranker.rank(pairs[0][0], [document for _, document in pairs])
        self._tokens = ranking.usage["tokens"]
        scores = [0.0] * len(pairs)
        for hit in ranking:
            assert hit.logit is not None, "bug: a ranking without a deadline has all logits"
            scores[hit.index] = hit.logit
        return scores

    def told(self, _: list[tuple[str, str]]) -> dict[str, int]:
        """Of the last call: tokens that the model read, and the most GPU memory so far."""
        gpu = {} if self._cuda is None else {"gpu_peak_bytes": self._cuda.max_memory_allocated(self.device)}
        return {"tokens": self._tokens, **gpu}
