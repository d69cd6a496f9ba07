"""Two rankers side by side: agreement, turns, examples, cost; quality where there are labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crossrank.cli.group import cli
from crossrank.collection import Collection
from crossrank.errors import UsageError
from crossrank.evaluate.side_by_side import SideBySide, side_by_side
from crossrank.testing import FakeVendor
from crossrank.types import Hit, Ranking

QUERIES = {"1": "a", "2": "b", "3": "c"}
CORPUS = {str(number): f"document {number}" for number in range(6)}


class ByOrder:
    """Ranks by a fixed order of texts, and notes when it was asked."""

    def __init__(self, name: str, order: Sequence[int], log: list[str]) -> None:
        self.name, self.order, self.log = name, order, log

    def rank(self, query: str, documents: Sequence[str], **_: object) -> Ranking:
        self.log.append(f"{self.name}{query}")
        places = [place for place in self.order if place < len(documents)]
        hits = tuple(
            Hit(rank, place, score=-float(rank), logit=None, document=documents[place], text=documents[place])
            for rank, place in enumerate(places, 1)
        )
        return Ranking(hits, query, {"total": 0.1}, {"documents": len(documents)})


def compared(one: Sequence[int], other: Sequence[int], **options: object) -> tuple[SideBySide, list[str]]:
    log: list[str] = []
    rankers = {"A": ByOrder("A", one, log), "B": ByOrder("B", other, log)}
    candidates = {query: list(CORPUS)[: len(one)] for query in QUERIES}
    return side_by_side(rankers, Collection("c", QUERIES, CORPUS), candidates, **options), log


@pytest.mark.property
@given(st.permutations(range(6)), st.integers(1, 8))
def test_a_ranker_agrees_with_itself_and_not_with_its_reverse(order: list[int], top_k: int) -> None:
    """Tau 1 and everything in common; tau -1, and the mover goes from one end to the other."""
    same, _ = compared(order, order, top_k=top_k)
    assert (same.tau, same.overlap, same.same_first) == (pytest.approx(1), 1, 1)
    reverse, _ = compared(order, order[::-1], top_k=top_k)
    assert reverse.tau == pytest.approx(-1)
    assert reverse.same_first == 0
    assert set(reverse.differences[0].ranks) == {1, 6}


def test_they_take_turns_and_each_goes_first() -> None:
    """Other work on the machine meets both alike; the warm-up is of those that cost nothing."""
    _, log = compared(range(4), range(4), warm=["A"])
    assert log == ["Aa", "Aa", "Ba", "Bb", "Ab", "Ac", "Bc"]


def test_the_largest_difference_comes_first() -> None:
    """Least in common, then the lowest tau."""
    log: list[str] = []
    rankers = {"A": ByOrder("A", range(6), log), "B": ByOrder("B", [1, 0, 2, 3, 5, 4], log)}
    candidates = {"1": ["0"], "2": ["0", "1"], "3": list(CORPUS)}
    found = side_by_side(rankers, Collection("c", QUERIES, CORPUS), candidates, top_k=1)
    assert [one.query for one in found.differences] == ["2", "3"]
    assert "1 of 3 queries have fewer than two documents and are left out." in found.notes
    with pytest.raises(UsageError, match="two documents"):
        side_by_side(rankers, Collection("c", QUERIES, CORPUS), {"1": ["0"]})


def test_labels_bring_quality() -> None:
    """As `evaluate` compares it: the better ranker's mean is higher, and three queries prove nothing."""
    pytest.importorskip("ir_measures")
    log: list[str] = []
    rankers = {"A": ByOrder("A", range(6), log), "B": ByOrder("B", [5, 4, 3, 2, 1, 0], log)}
    collection = Collection("c", QUERIES, CORPUS, {query: {"5": 1} for query in QUERIES})
    found = side_by_side(rankers, collection, {query: list(CORPUS) for query in QUERIES})
    (quality,) = found.qualities
    assert (quality.measure, found.judged) == ("nDCG@10", 3)
    assert quality.means[0] < quality.means[1] == 1
    assert quality.comparison.p_corrected > 0.05


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "q.txt").write_text("who created python\n\ncapital of france\n")
    (tmp_path / "d.txt").write_text("Guido created Python.\nParis is in France.\nSnakes.\n")
    (tmp_path / "q.jsonl").write_text('{"_id": "x", "text": "capital of france"}\n')
    lines = [{"_id": f"d{n}", "text": text} for n, text in enumerate(["Paris is the capital.", "Berlin.", "Rome."])]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "r.trec").write_text("".join(f"x Q0 d{n} {n + 1} {3 - n} run\n" for n in range(3)))
    (tmp_path / "qrels").write_text("x 0 d0 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["models", *arguments], catch_exceptions=True)
    return (done.exit_code, done.output) if done.exception is None else (2, str(done.exception) + done.output)


@pytest.mark.parametrize(
    "given",
    [
        ["--queries", "q.txt", "--documents", "d.txt"],
        ["--queries", "q.jsonl", "--corpus", "c.jsonl", "--run", "r.trec"],
    ],
)
def test_the_command_compares_models(texts: Path, checkpoint, given: list[str]) -> None:
    """In words, and as JSON; the option may stand anywhere."""
    mine = str(checkpoint())
    code, output = run("--compare", "crossrank-mini", mine, *given)
    assert code == 0, output
    assert "Kendall's tau" in output
    code, output = run("--compare", "crossrank-mini", "crossrank-mini", *given)
    assert "B  crossrank-mini (2)\n" in output
    code, output = run(*given, "--compare", "crossrank-mini", mine, "--json")
    assert code == 0, output
    document = json.loads(output[output.index("{") :])
    assert document["schema_version"] == 1
    assert document["models"][0] == "crossrank-mini"
    assert len(document["differences"]) == document["queries"]


def test_the_command_compares_quality_where_there_are_labels(texts: Path, checkpoint) -> None:
    """Of judgements beside a run."""
    pytest.importorskip("ir_measures")
    given = ("--queries", "q.jsonl", "--corpus", "c.jsonl", "--run", "r.trec", "--qrels", "qrels")
    code, output = run("compare", "crossrank-mini", str(checkpoint()), *given)
    assert code == 0, output
    assert "nDCG@10 over 1 judged queries" in output


def test_a_budget_holds(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would cost more is not sent."""
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        options = ("--queries", "q.txt", "--documents", "d.txt", "--price", "units=2.50", "--max-cost", "0.003")
        code, output = run("--compare", "crossrank-mini", "cohere:rerank-v4.0-pro", *options)
        assert (code, len(server.calls)) == (2, 1)
    assert "budget" in output.lower() or "cost" in output.lower()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "Give one of"),
        (["--documents", "d.txt"], "--queries FILE is missing"),
        (["--queries", "q.txt", "--run", "r.trec"], "--corpus FILE"),
        (["--queries", "q.csv", "--documents", "d.txt"], "queries are a .txt file, one a line, or .jsonl"),
        (["--queries", "q.txt", "--corpus", "c.jsonl", "--run", "r.trec"], "belong to different sets"),
    ],
)
def test_what_is_missing_is_told(texts: Path, given: list[str], told: str) -> None:
    code, output = run("--compare", "crossrank-mini", "crossrank-mini", *given)
    assert code == 2
    assert told in output


def test_recommend_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with where they are from, kept in the cache folder; a code of no language is the caller's mistake."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path))
    asked = ("--recommend", "--documents", "4", "--document-tokens", "16", "--latency-ms", "0.001", "--cpu", "--local")
    code, output = run(*asked, "--commercial", "--json")
    assert code == 0, output
    document = json.loads(output[output.index("{") :])
    assert document["schema_version"] == 1
    assert document["sections"] == []
    assert all(choice["latency"]["how"] != "quoted" for choice in document["nearest"])
    assert document["nearest"][0]["latency"]["how"] in ("measured", "estimated")  # the latter on a busy machine
    assert set(document["left_out"]) >= {"no licence is stated", "texts go to the vendor"}
    assert len(list((tmp_path / "latency").iterdir())) == 1
    code, output = run("--recommend", "--language", "german")
    assert code == 2
    assert "ISO 639-1" in output


def test_recommend_has_a_limit_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --latency-ms it is a second, and says so; inf is none, which JSON has as null."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path))
    asked = ("--recommend", "--documents", "2", "--document-tokens", "8", "--language", "ja", "--structured")
    code, output = run(*asked)
    assert code == 0, output
    assert "within 1,000 ms" in output.splitlines()[0]
    code, output = run(*asked, "--latency-ms", "inf")
    assert "however long it takes" in output.splitlines()[0]
    code, output = run(*asked, "--latency-ms", "inf", "--json")
    assert json.loads(output[output.index("{") :])["needs"]["latency_ms"] is None
