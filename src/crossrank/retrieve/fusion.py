"""Several retrievers' rankings made one, by reciprocal ranks."""

from collections.abc import Mapping, Sequence

from crossrank.errors import UsageError
from crossrank.retrieve.asked import aretrieved_all, retrieved
from crossrank.retrieve.contract import Found, Retriever
from crossrank.retrieve.pipeline import Pipes

CONSTANT = 60.0  # Cormack, Clarke and Buettcher 2009


def reciprocal_ranks(
    rankings: Mapping[str, Sequence[Found]], *, constant: float = CONSTANT, weights: Mapping[str, float] | None = None
) -> list[Found]:
    """One ranking of several: the sum over them of weight / (constant + rank).

    Documents with equal texts are one, the first that was found. Source: Cormack, Clarke and Buettcher, "Reciprocal
    rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.

    Args:
        rankings: by the name of who made them.
        constant: the larger, the less the first ranks stand out.
        weights: by name; 1 for those that are not named.
    """
    scores: dict[str, float] = {}
    found: dict[str, Found] = {}
    ranks: dict[str, dict[str, int]] = {}
    for name, ranking in rankings.items():
        for rank, item in enumerate(ranking, 1):
            key = item.key
            if name in ranks.setdefault(key, {}):
                continue  # a text that one ranking has twice counts where it is best
            found.setdefault(key, item)
            ranks[key][name] = rank
            scores[key] = scores.get(key, 0.0) + (weights or {}).get(name, 1.0) / (constant + rank)
    order = sorted(scores, key=lambda key: -scores[key])
    return [Found(found[key].document, scores[key], ranks[key]) for key in order]


class Fused(Pipes):
    """A retriever made of several, by reciprocal ranks.

    Args:
        retrievers: at least one; their names differ.
        constant: see `reciprocal_ranks`.
        weights: see there.
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        constant: float = CONSTANT,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.retrievers = list(retrievers)
        names = [retriever.name for retriever in self.retrievers]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"Fused wants retrievers with different names; given: {', '.join(names) or 'none'}")
        if unknown := set(weights or ()) - set(names):
            raise UsageError(f"weights names {min(unknown)!r}; the retrievers are: {', '.join(names)}")
        self.name, self._constant, self._weights = " + ".join(names), constant, weights

    def retrieve(self, query: str, k: int) -> list[Found]:
        """The best `k` of what each of the retrievers finds as its best `k`."""
        return self._fused({r.name: retrieved(r, query, k) for r in self.retrievers}, k)

    async def aretrieve(self, query: str, k: int) -> list[Found]:
        """As `retrieve`, awaitable: all are asked at the same time."""
        return self._fused(await aretrieved_all(self.retrievers, query, k), k)

    def _fused(self, rankings: Mapping[str, Sequence[Found]], k: int) -> list[Found]:
        return reciprocal_ranks(rankings, constant=self._constant, weights=self._weights)[:k]
