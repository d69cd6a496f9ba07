"""Measures of a run against judgements, all of them computed by ir-measures. It knows runs and qrels, not rankers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossrank.collection import Qrels, Run
from crossrank.errors import MissingExtra, UsageError

MEASURES = ("nDCG@10", "MRR@10", "R@10")  # what is measured unless something else is asked for
EXAMPLES = "nDCG@10, MRR@10, MAP, R@100, P@5, Success@1, nDCG(dcg='exp-log2')@10"
# One relevant document found in the first place, and a query without any result.
PROBE_QRELS = {"1": {"a": 1, "b": 0}, "2": {"a": 1}}
PROBE_RUN = {"1": {"a": 2.0, "b": 1.0}}


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that has a value for each query, and whose mean over queries is what people quote.

    Attributes:
        name: as the caller wrote it, but for upper and lower case.
        definition: ir-measures' own object.
    """

    name: str
    definition: Any


def parse_measures(names: Sequence[str]) -> tuple[Measure, ...]:
    """Measures from names as ir-measures or papers write them ("nDCG@10", "MRR@10", "map", "Recall@100").

    Raises:
        UsageError: a name that nobody knows, a measure that cannot be computed here or that has no mean, or the same
            measure twice.
        MissingExtra: ir-measures is not installed.
    """
    if isinstance(names, str) or not names:
        raise UsageError(f"measures must be a list of at least one name, not {names!r}. For example: {EXAMPLES}.")
    measures = tuple(_parse(name) for name in names)
    for number, measure in enumerate(measures):
        for earlier in measures[:number]:
            if earlier.definition == measure.definition:
                raise UsageError(f"The measure {measure.name} is asked for twice ({earlier.name} is the same).")
    return measures


def per_query(
    measures: Sequence[Measure], qrels: Qrels, run: Run, queries: Sequence[str]
) -> dict[str, dict[str, float]]:
    """By the measure's name: the value for each of `queries`, in their order; 0 for a query that the run lacks.

    Equal scores of a run are ordered as trec_eval does: by document id, from the last to the first.
    """
    numbers = {str(number): query for number, query in enumerate(queries, 1)}  # some providers take no other ids
    found = {number: dict(run[query]) for number, query in numbers.items() if run.get(query)}
    judged = {number: dict(qrels[query]) for number, query in numbers.items()}
    values = {measure.name: dict.fromkeys(queries, 0.0) for measure in measures}
    names = {measure.definition: measure.name for measure in measures}
    for result in _ir_measures().iter_calc(list(names), judged, found):
        values[names[result.measure]][numbers[result.query_id]] = float(result.value)
    return values


def _parse(given: str) -> Measure:
    ir_measures = _ir_measures()
    name = _spelled(given.strip())
    try:
        definition = ir_measures.parse_measure(name)
    except (NameError, ValueError, AssertionError, SyntaxError):
        raise UsageError(f"{given!r} is no measure that ir-measures knows. For example: {EXAMPLES}.") from None
    cutoff = definition.params.get("cutoff", 1)
    if not isinstance(cutoff, int) or cutoff < 1:  # NOTE: trec_eval would end the process
        raise UsageError(f"{given!r}: the rank after the @ must be a whole number of at least 1.")
    try:
        values = {result.query_id for result in ir_measures.iter_calc([definition], PROBE_QRELS, PROBE_RUN)}
    except Exception as exc:  # whatever a provider raises, its meaning is the same
        reason = str(exc).splitlines()[0].rstrip(".")
        raise UsageError(f"{given!r} cannot be computed here ({reason}). For example: {EXAMPLES}.") from exc
    if values != set(PROBE_QRELS) or type(definition.aggregator()).__name__ != "MeanAgg":
        raise UsageError(f"{given!r} has no mean over all queries, which rankers are compared by; take {EXAMPLES}.")
    return Measure(name, definition)


def _spelled(given: str) -> str:
    """The measure with its name in ir-measures' own upper and lower case."""
    end = min((place for place in (given.find("@"), given.find("(")) if place >= 0), default=len(given))
    known: dict[str, str] = {name.casefold(): name for name in _ir_measures().measures.registry} | {"ndcg": "nDCG"}
    return known.get(given[:end].casefold(), given[:end]) + given[end:]


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as exc:
        raise MissingExtra("ir-measures is not installed. Run: pip install 'crossrank[eval]'") from exc
    return ir_measures
