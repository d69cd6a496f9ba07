"""crossrank itself, as it is without extras: caches off, documents cut as all peers cut them."""

from typing import Any

from crossrank import Reranker


class Runner:
    """A `Reranker`; there is nothing to tune."""

    settings: tuple[int, ...] = ()

    def __init__(self, options: dict[str, Any]) -> None:
        self._reranker = Reranker(
            options["model"],
            precision=options["precision"],
            threads=options["threads"],
            long_documents="truncate",
            cache=None,
            language_guard=False,  # what `pip install crossrank` comes with; the tests' environment has the extra
        )
        facts = self._reranker.facts
        self.detail, self.precision = f"{facts.backend}/{facts.detail}", facts.precision

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        return self._reranker.score(pairs, raw=True)
