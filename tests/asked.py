"""Rankers of other people's, for the integrations' tests: what is given as `ranker=`."""

import math
from typing import Any

from crossrank import Hit, Ranking

QUERY = "who created python"
TEXTS = [
    "The Eiffel Tower is in Paris.",
    "Python was created by Guido van Rossum and first released in 1991.",
    "Pythons are snakes that live in Africa, Asia and Australia.",
    "Java was designed by James Gosling at Sun Microsystems.",
]
BEST = TEXTS[1]
NAN = math.nan


class Lengths:
    """Scores pairs by the length of their text; the longest is best. Counts the calls."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, str]]] = []

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        self.asked.append(list(pairs))
        return [float(len(text)) for _, text in pairs]


class Given:
    """Scores pairs with what it was given, whatever the pairs are."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def score(self, pairs: Any) -> Any:
        return map(float, self.scores)


class Reversed:
    """Ranks documents last to first; has no `arank` and no logits."""

    def rank(self, query: str, documents: list[str], *, top_k: int | None = None) -> Ranking:
        order = list(range(len(documents)))[::-1][:top_k]
        hits = (Hit(r, i, float(i), None, documents[i], documents[i]) for r, i in enumerate(order, 1))
        return Ranking(tuple(hits), query)
