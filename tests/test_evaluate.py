"""An evaluation tells the truth about any ranker, and goes on where it stopped."""

import math
from collections.abc import Sequence
from pathlib import Path

import ir_measures
import pytest

from crossrank.collection import Collection, Run
from crossrank.errors import CrossrankError, NotFiniteError, QueryTooLongError, UsageError
from crossrank.evaluate.evaluate import evaluate
from crossrank.evaluate.ranking import QueryRanked
from crossrank.evaluate.report import verdict
from crossrank.evaluate.result import Evaluation
from crossrank.types import Hit, Ranking
from disks import full_disk
from pets import QUERIES, Fake, evaluated, in_their_own_order, pets_collection


@pytest.fixture(scope="module")
def pets() -> Collection:
    return pets_collection()


@pytest.fixture(scope="module")
def run(pets: Collection) -> Run:
    return in_their_own_order(pets)


@pytest.fixture(scope="module")
def evaluation(pets: Collection, run: Run) -> Evaluation:
    return evaluated(pets, run)


def test_rows_are_the_first_stage_then_runs_then_rankers(evaluation: Evaluation) -> None:
    """Each with its measures; the first stage is compared to nothing, and only rankers have a speed."""
    assert [row.name for row in evaluation.rows] == ["search", "other", "good", "bad", "idle/one"]
    assert evaluation.first_stage.kind == "first stage"
    assert all(score.comparison is None for score in evaluation.first_stage.scores.values())
    assert [row.speed is not None for row in evaluation.rows] == [False, False, True, True, True]
    assert evaluation.measures == ("nDCG@10", "MRR@10", "R@10")
    assert len(evaluation.queries) == QUERIES


def test_figures_are_those_of_ir_measures(evaluation: Evaluation, pets: Collection) -> None:
    """The mean of each row is what ir-measures gives for the row's run and the judgements."""
    for row in evaluation.rows:
        plain = {query: dict(found) for query, found in row.run.items()}
        for name in evaluation.measures:
            measure = ir_measures.parse_measure(name)
            expected = ir_measures.calc_aggregate([measure], dict(pets.qrels), plain)[measure]
            assert row.scores[name].mean == pytest.approx(expected)


def test_a_perfect_ranker_is_perfect(evaluation: Evaluation) -> None:
    """nDCG is 1 for every query; the opposite is worse than the first stage; equal scores change nothing."""
    assert evaluation.row("good").scores["nDCG@10"].mean == pytest.approx(1)
    assert verdict(evaluation.row("good").scores["nDCG@10"]) == 1
    assert verdict(evaluation.row("bad").scores["nDCG@10"]) == -1
    assert verdict(evaluation.row("idle/one").scores["nDCG@10"]) == 0
    assert verdict(evaluation.first_stage.scores["nDCG@10"]) == 0
    comparison = evaluation.row("idle/one").scores["nDCG@10"].comparison
    assert comparison is not None
    assert (comparison.ties, comparison.p) == (QUERIES, 1.0)


def test_ps_are_corrected_for_the_number_of_rows(evaluation: Evaluation) -> None:
    """Four rows beside the first stage: the smallest p times four."""
    comparisons = [row.scores["nDCG@10"].comparison for row in evaluation.rows[1:]]
    smallest = min((one for one in comparisons if one), key=lambda one: one.p)
    assert smallest.p_corrected == pytest.approx(4 * smallest.p)


def test_the_speed_is_of_calls(evaluation: Evaluation) -> None:
    """Milliseconds, documents and tokens a query."""
    speed = evaluation.row("good").speed
    assert speed is not None
    assert speed.documents == 10
    assert speed.tokens == 7
    assert 0 < speed.p50_ms <= speed.p95_ms
    assert speed.document_ms > 0


def test_equal_arguments_give_equal_figures(pets: Collection, run: dict, evaluation: Evaluation) -> None:
    """Draws are seeded; nothing but the time differs."""
    again = evaluate({"good": Fake()}, pets, first_stage=run)
    once = evaluate({"good": Fake()}, pets, first_stage=run)
    assert [row.scores for row in again.rows] == [row.scores for row in once.rows]
    assert again.row("good").scores["nDCG@10"].mean == evaluation.row("good").scores["nDCG@10"].mean


def test_scores_of_a_ranker_decrease_strictly_in_fp32(pets: Collection, run: dict) -> None:
    """So that trec_eval, which reads fp32 and orders equal scores by id, keeps the ranker's order."""
    import numpy as np

    row = evaluate({"idle": Fake(0.0)}, pets, first_stage=run).row("idle")
    for query, found in row.run.items():
        assert [document for document, _ in found] == [document for document, _ in run[query]]
        scores = np.array([score for _, score in found], np.float32)
        assert (np.diff(scores) < 0).all()


def test_the_default_is_the_pool_or_bm25(pets: Collection) -> None:
    """Judgements with relevant documents and others are a pool; without others the corpus is searched."""
    assert evaluate({"good": Fake()}, pets).origin.startswith("each query's judged documents")
    positives = {query: {d: g for d, g in grades.items() if g} for query, grades in pets.qrels.items()}
    found = evaluate({"good": Fake()}, Collection("pets", pets.queries, pets.corpus, positives), depth=5)
    assert found.origin == "the first 5 that BM25 finds in the corpus"
    assert {len(ranked) for ranked in found.row("good").run.values()} == {5}


def test_candidates_without_a_text_come_last(pets: Collection) -> None:
    """A ranker is not asked about them; a note says how many there are."""
    run = {query: [(f"{query}d{d}", 10.0 - d) for d in range(10)] for query in pets.queries}
    run["q3"].insert(0, ("gone", 11.0))
    found = evaluate({"good": Fake()}, pets, first_stage=run)
    assert found.row("good").run["q3"][-1][0] == "gone"
    assert found.first_stage.run["q3"][0][0] == "gone"
    assert "1 of 301 candidates have no text in the corpus; rankers leave them at the end." in found.notes


def test_notes_tell_what_a_reader_should_know(pets: Collection, run: dict) -> None:
    """Fewer queries than judged, a measure that looks too deep, a run that lacks queries or has other documents."""
    one = {query: [(f"{query}d0", 1.0)] for query in ("q0", "q1")}
    found = evaluate({}, pets, first_stage=run, runs={"one": one}, queries_max=4, depth=5, measures=["R@10"])
    assert found.notes == (
        "Only the first 4 of 30 queries.",
        "one lacks 2 of 4 queries; they count as 0 for it.",
        "one ranks documents of its own, not those of first stage.",
        "R@10 would look deeper than the 5 candidates of a query.",
        "4 queries are few: expect other figures from others.",
    )


def test_each_query_is_reported(pets: Collection, run: dict) -> None:
    """One event a query and ranker, in order."""
    seen: list[QueryRanked] = []
    evaluate({"a": Fake(), "b": Fake()}, pets, first_stage=run, queries_max=2, on_query=seen.append)
    assert seen == [QueryRanked(name, query, 2, 10, kept=False) for name in ("a", "b") for query in ("q0", "q1")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"qrels": {}}, "has no judged query"),
        ({"qrels": {"q0": {"q0d0": 0}}}, "has no judged query"),
        ({"queries": {"q0": " ", "q1": "text", "q2": ""}}, r"2 of 3 judged queries have no text \(the first: 'q0'\)"),
    ],
)
def test_collections_that_cannot_be_measured(pets: Collection, run: dict, changes: dict, told: str) -> None:
    """The message says what is missing and what to do."""
    parts = {"queries": pets.queries, "corpus": pets.corpus, "qrels": pets.qrels, **changes}
    with pytest.raises(UsageError, match=told):
        evaluate({"good": Fake()}, Collection("pets", **parts), first_stage=run)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depth": 0}, "depth=0"),
        ({"queries_max": 0}, "queries_max=0"),
        ({"measures": ["foo"]}, "foo"),
        ({"runs": {"good": {"q0": [("q0d0", 1.0)]}}}, "Two rows of the table would be called 'good'"),
        ({"runs": {"other": {"x": [("q0d0", 1.0)]}}}, "other: the run has no documents for any of the 30"),
    ],
)
def test_options_that_cannot_be_taken(pets: Collection, run: dict, options: dict, told: str) -> None:
    """Before anything is ranked."""
    ranker = Fake()
    with pytest.raises(UsageError, match=told):
        evaluate({"good": ranker}, pets, **{"first_stage": run, **options})
    assert ranker.asked == []


@pytest.mark.parametrize(("score", "index"), [(1.0, 10), (1.0, -1), (math.nan, 0), (math.inf, 0)])
def test_rankings_that_make_no_sense_are_refused(pets: Collection, run: dict, score: float, index: int) -> None:
    """A position that was not given, and a score that is no number, with the ranker's name and the query."""

    class Broken:
        def rank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
            return Ranking((Hit(1, index, score, None, "", ""),), query)

    with pytest.raises((UsageError, NotFiniteError), match=r"broken.*q0"):
        evaluate({"broken": Broken()}, pets, first_stage=run)


def test_a_query_that_a_ranker_refuses_is_named(pets: Collection, run: dict) -> None:
    """With the ranker and the query's id, so that it can be found."""
    broken = Fake(stop_at="question 3", error=QueryTooLongError("too long"))
    with pytest.raises(UsageError, match="broken, query 'q3' of pets: too long"):
        evaluate({"broken": broken}, pets, first_stage=run)


def test_an_interrupted_evaluation_goes_on(pets: Collection, run: dict, tmp_path: Path) -> None:
    """What was finished is kept, not ranked again, and the result is that of an evaluation in one go."""
    stopped = Fake(stop_at="question 20", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        evaluate({"good": stopped}, pets, first_stage=run, folder=tmp_path, identities={"good": "1"})
    assert len(stopped.asked) == 20
    (tmp_path / "results.jsonl").write_bytes((tmp_path / "results.jsonl").read_bytes()[:-9])  # killed in a write
    fresh = Fake()
    events: list[QueryRanked] = []
    resumed = evaluate(
        {"good": fresh}, pets, first_stage=run, folder=tmp_path, identities={"good": "1"}, on_query=events.append
    )
    assert fresh.asked == [f"question {i}" for i in range(19, QUERIES)]
    assert sum(event.kept for event in events) == 19
    whole = evaluate({"good": Fake()}, pets, first_stage=run)
    assert [(row.run, row.scores) for row in resumed.rows] == [(row.run, row.scores) for row in whole.rows]
    idle = Fake()
    again = evaluate({"good": idle}, pets, first_stage=run, folder=tmp_path, identities={"good": "1"})
    assert idle.asked == []
    assert again == resumed


def test_more_queries_and_more_rankers_are_added_to_what_is_kept(pets: Collection, run: dict, tmp_path: Path) -> None:
    """A first look at few queries is no waste; changed judgements are measured without ranking."""
    evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path, queries_max=5)
    good, bad = Fake(), Fake(-1.0)
    evaluate({"good": good, "bad": bad}, pets, first_stage=run, folder=tmp_path)
    assert (len(good.asked), len(bad.asked)) == (QUERIES - 5, QUERIES)
    upside_down = {query: {d: 2 - grade for d, grade in grades.items()} for query, grades in pets.qrels.items()}
    turned = Collection("pets", pets.queries, pets.corpus, upside_down)
    idle = Fake(-1.0)
    assert evaluate({"bad": idle}, turned, first_stage=run, folder=tmp_path).row("bad").scores["nDCG@10"].mean > 0.99
    assert idle.asked == []


@pytest.mark.parametrize("change", ["depth", "candidates", "texts", "queries", "model", "version"])
def test_results_of_another_evaluation_are_refused(pets: Collection, run: dict, tmp_path: Path, change: str) -> None:
    """The message says what has changed, and what to do; nothing is ranked or overwritten."""
    evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path, queries_max=2)
    file = tmp_path / "results.jsonl"
    if change == "version":
        file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 0', 1))
    before = file.read_bytes()
    queries = {**pets.queries, **({"q0": "else"} if change == "queries" else {})}
    corpus = {**pets.corpus, **({"q0d0": "else 1"} if change == "texts" else {})}
    stage = {**run, **({"q29": run["q29"][:5]} if change == "candidates" else {})}
    ranker = Fake(2.0 if change == "model" else 1.0)
    told = {
        "depth": r"to another depth \(100, now 7\)",
        "candidates": "other candidates",
        "texts": "texts have changed",
        "queries": "judged queries are others",
        "model": "results of another good: the model or its options have changed",
        "version": "another version of crossrank",
    }[change]
    with pytest.raises(UsageError, match=f"{told}.*Give another --out, or delete the file"):
        evaluate(
            {"good": ranker},
            Collection("pets", queries, corpus, pets.qrels),
            first_stage=stage,
            folder=tmp_path,
            depth=7 if change == "depth" else None,
        )
    assert ranker.asked == []
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"[]\n", b"{}\n", b"\xff\n", b'{"broken\n'])
def test_a_file_that_is_no_journal_is_refused(pets: Collection, run: dict, tmp_path: Path, content: bytes) -> None:
    """And stays as it is."""
    (tmp_path / "results.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"results.jsonl is broken.*delete the file"):
        evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() == content


def test_one_evaluation_at_a_time_writes_to_a_folder(pets: Collection, run: dict, tmp_path: Path) -> None:
    """The second one is told to wait or go elsewhere."""

    def nested(_: QueryRanked) -> None:
        with pytest.raises(UsageError, match="in use by another evaluation"):
            evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path)

    evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path, queries_max=1, on_query=nested)


def test_a_folder_that_cannot_be_written_is_refused(pets: Collection, run: dict, tmp_path: Path) -> None:
    """Before anything is ranked."""
    (tmp_path / "file").touch()
    ranker = Fake()
    with pytest.raises(UsageError, match=r"cannot be written.*--out"):
        evaluate({"good": ranker}, pets, first_stage=run, folder=tmp_path / "file" / "below")
    assert ranker.asked == []


def test_a_full_disk_loses_nothing(pets: Collection, run: dict, tmp_path: Path) -> None:
    """It is the world's failure, not the caller's; the message says that the rest is kept, and it is."""
    kept = pytest.raises(CrossrankError, match=r"results.jsonl could not be written: .*is kept")
    with full_disk(2_500), kept as caught:
        evaluate({"good": Fake()}, pets, first_stage=run, folder=tmp_path)
    assert not isinstance(caught.value, UsageError)
    fresh = Fake()
    evaluate({"good": fresh}, pets, first_stage=run, folder=tmp_path)
    assert 0 < len(fresh.asked) < QUERIES
