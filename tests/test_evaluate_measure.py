"""Measures are those of ir-measures, to the last digit; what cannot be measured is refused with examples."""

import builtins
import random
import shutil

import ir_measures
import pytest

from crossrank.errors import MissingExtra, UsageError
from crossrank.evaluate.measure import MEASURES, parse_measures, per_query

SHIPPED = [
    *MEASURES,
    *("nDCG", "nDCG@5", "nDCG@20", "nDCG(dcg='exp-log2')@10", "RR", "RR@10", "AP", "MAP", "AP@100", "AP(rel=2)@100"),
    *("R@1", "R@100", "R(rel=2)@50", "P@1", "P@10", "Success@5", "Rprec", "Bpref", "Judged@10", "ERR@10", "infAP"),
    *("IPrec@0.1", "SetF", "Compat(p=0.9)"),
]


@pytest.fixture(scope="module")
def judged() -> tuple[dict[str, dict[str, int]], dict[str, list[tuple[str, float]]]]:
    """40 queries with graded judgements; a run that finds some of it, with equal scores, and lacks some queries."""
    random.seed(7)
    qrels = {
        f"{i}": {f"d{d}": random.choice([0, 0, 0, 1, 2, 3]) for d in random.sample(range(60), 20)} | {"d99": 1}
        for i in range(40)
    }
    run = {}
    for query in list(qrels)[:-3]:
        found = [(f"d{d}", round(random.gauss(qrels[query].get(f"d{d}", 0), 1.5), 1)) for d in range(60)]
        run[query] = sorted(found, key=lambda item: -item[1])
    return qrels, run


@pytest.mark.parametrize("name", SHIPPED)
def test_a_measure_is_that_of_ir_measures(name: str, judged: tuple) -> None:
    """Mean and every query's value are what ir-measures gives for the same judgements and run."""
    if ("ERR" in name or "exp-log2" in name) and shutil.which("perl") is None:
        pytest.skip("ir-measures runs a Perl script for this one")
    qrels, run = judged
    measure = parse_measures([name])
    ours = per_query(measure, qrels, run, list(qrels))[measure[0].name]
    theirs = ir_measures.parse_measure(name)
    plain = {query: dict(found) for query, found in run.items()}
    assert ours == {result.query_id: result.value for result in ir_measures.iter_calc([theirs], qrels, plain)}
    assert sum(ours.values()) / len(ours) == pytest.approx(ir_measures.calc_aggregate([theirs], qrels, plain)[theirs])


@pytest.mark.parametrize("name", ["nDCG@10", "ERR@10"])
def test_ids_of_queries_may_be_any(name: str, judged: tuple) -> None:
    """Also for measures whose implementation takes numbers only."""
    if name == "ERR@10" and shutil.which("perl") is None:
        pytest.skip("ir-measures runs a Perl script for this one")
    qrels, run = judged
    plain = per_query(parse_measures([name]), qrels, run, list(qrels))[name]
    named = {f"a question: {query}": found for query, found in qrels.items()}
    found = {f"a question: {query}": ranked for query, ranked in run.items()}
    assert list(per_query(parse_measures([name]), named, found, list(named))[name].values()) == list(plain.values())


def test_a_query_without_candidates_counts_as_0(judged: tuple) -> None:
    """A query that the run lacks, or for which it found nothing, has the value 0."""
    qrels, run = judged
    values = per_query(parse_measures(["nDCG@10"]), qrels, {**run, "0": []}, list(qrels))["nDCG@10"]
    assert values["0"] == values["39"] == 0.0
    assert list(values) == list(qrels)


@pytest.mark.parametrize(
    ("given", "name", "same"),
    [
        ("ndcg@10", "nDCG@10", "nDCG@10"),
        ("NDCG@10", "nDCG@10", "nDCG@10"),
        ("MRR@10", "MRR@10", "RR@10"),
        ("mrr@10", "MRR@10", "RR@10"),
        ("map", "MAP", "AP"),
        ("recall@100", "Recall@100", "R@100"),
        (" P@5 ", "P@5", "P@5"),
    ],
)
def test_a_measure_may_be_spelled_as_papers_do(given: str, name: str, same: str) -> None:
    """Upper and lower case do not matter; the table shows the name that was given."""
    (measure,) = parse_measures([given])
    assert measure.name == name
    assert measure.definition == ir_measures.parse_measure(same)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("foo", "no measure that ir-measures knows"),
        ("", "no measure that ir-measures knows"),
        ("nDCG@ten", "no measure that ir-measures knows"),
        ("nDCG(rel=@10", "no measure that ir-measures knows"),
        ("nDCG@0", "a whole number of at least 1"),
        ("P@0", "a whole number of at least 1"),
        ("R", "cannot be computed here"),
        ("alpha_nDCG@10", "cannot be computed here"),
        ("NumRet", "has no mean"),
        ("Accuracy", "has no mean"),
    ],
)
def test_what_is_no_measure_is_refused(given: str, told: str) -> None:
    """The message names what was given, and examples of what is allowed."""
    with pytest.raises(UsageError, match=told) as caught:
        parse_measures([given])
    assert repr(given) in str(caught.value)
    assert "nDCG@10" in str(caught.value) or "at least 1" in str(caught.value)


def test_the_same_measure_twice_is_refused() -> None:
    """Under two spellings too: they would be two equal tables."""
    with pytest.raises(UsageError, match="RR@10 is asked for twice"):
        parse_measures(["MRR@10", "nDCG@10", "RR@10"])


@pytest.mark.parametrize("given", [[], "nDCG@10"])
def test_measures_are_a_list(given: object) -> None:
    """One string, or nothing, is a mistake."""
    with pytest.raises(UsageError, match="list of at least one name"):
        parse_measures(given)  # type: ignore[arg-type]


def test_without_ir_measures_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message holds the pip command."""
    load = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name == "ir_measures":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'crossrank\[eval\]'"):
        parse_measures(["nDCG@10"])
