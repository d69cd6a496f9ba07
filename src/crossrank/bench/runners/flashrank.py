"""FlashRank with a model that it has downloaded before: MiniLM-L12 as dynamic int8."""

from importlib.metadata import version
from typing import Any

from flashrank import Ranker, RerankRequest


class Runner:
    """`rerank`, as it comes; its model is its own, whatever else is measured."""

    precision, device = "int8", "cpu"

    def __init__(self, options: dict[str, Any]) -> None:
        self._ranker = Ranker(model_name=options["model"], log_level="WARNING")
        self.detail = version("flashrank")

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Scores in the order of the pairs, which share their query."""
        passages = [{"id": place, "text": document} for place, (_, document) in enumerate(pairs)]
        scores = [0.0] * len(pairs)
        for passage in self._ranker.rerank(RerankRequest(query=pairs[0][0], passages=passages)):
            scores[passage["id"]] = float(passage["score"])
        return scores
