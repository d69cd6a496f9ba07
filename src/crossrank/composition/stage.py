"""One ranker of several, and how many of its best go on; `ranker % 10` is a way to write it.

It knows the protocol of rankers; not which ones they are.
"""

from dataclasses import dataclass

from crossrank.arguments import Wanted
from crossrank.errors import UsageError
from crossrank.rankers import check_ranker
from crossrank.types import Ranker


@dataclass(frozen=True, slots=True)
class Stage:
    """One ranker of a cascade, and how many of its best go on; from the last one, how many there are at all."""

    ranker: Ranker
    keep: int | None = None

    def __post_init__(self) -> None:
        """Check both."""
        if isinstance(check_ranker(self.ranker, "ranker"), str):
            raise UsageError("a stage of a cascade needs a ranker; 'input-order' is for Failover")
        Wanted.of(self.keep, None)


class Keeps:
    """What a ranker of ours can do in a pipeline: `retriever >> ranker % 10`."""

    def __mod__(self: Ranker, keep: int) -> Stage:
        """The ranker's `keep` best, as a stage."""
        return Stage(self, keep)
