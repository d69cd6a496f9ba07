"""Several rankers, of which the first that answers counts.

It knows the protocol of rankers; not which ones they are.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from crossrank.composition.composed import Composed, Steps
from crossrank.errors import DeadlineError, UsageError
from crossrank.rankers import FAILURES, Call, Fallback, check_ranker, instead


class Failover(Composed):
    """A ranker that asks others in turn, until one answers; itself wherever a ranker is wanted.

    An answer that is not the first's says why in `Ranking.fallback`. Only failures are passed on: of a model, a vendor,
    a connection, too much load, too little time. The caller's mistakes are errors at once. Of a `deadline_s`, each
    ranker but the last may take half of what is left, so that there is time for another. If all fail, the last one's
    error is raised, with the others' in its notes.

    Args:
        rankers: at least one; "input-order" as the last one answers with the documents as they came, without scores.

    Raises:
        UsageError, ArgumentTypeError: no ranker, or something that is none.
    """

    def __init__(self, rankers: Sequence[Fallback]) -> None:
        self.rankers = [check_ranker(ranker, f"rankers[{i}]") for i, ranker in enumerate(rankers)]
        if not self.rankers:
            raise UsageError("Failover([]) has no rankers; give at least one, the preferred one first")

    def __repr__(self) -> str:
        """The rankers, in turn."""
        return f"Failover({self.rankers!r})"

    def _steps(self, call: Call) -> Steps:
        failed: list[Exception] = []
        *preferred, last = self.rankers
        for ranker in self.rankers:
            call.check_fits(ranker)
        for ranker in preferred:
            half = call if call.left_s is None else replace(call, deadline=time.monotonic() + call.left_s / 2)
            try:
                ranking = yield ranker, half
                if len(ranking) and all(hit.score is None for hit in ranking):
                    raise DeadlineError(f"{ranker!r} scored no document in {half.left_s} s")
            except FAILURES as exc:
                failed.append(exc)
            else:
                return instead(ranking, failed[0]) if failed else ranking
        try:
            ranking = yield last, call
        except FAILURES as exc:
            for error in failed:
                exc.add_note(f"before it: {type(error).__name__}: {error}")
            raise
        return instead(ranking, failed[0]) if failed else ranking
