"""`crossrank doctor --precision`: a table, one JSON document, a verdict that is kept; --precision elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank import Reranker, _native
from crossrank.cli.main import cli, run
from crossrank.engine.precision import by_exactness

HAS = by_exactness(_native.precisions())
CORPUS = {"a": "the quick brown fox", "b": "a programming language", "c": "natural selection", "d": "the lazy dog"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
    return (code, *capsys.readouterr())


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A set with a run."""
    folder = tmp_path / "notes"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in CORPUS.items()))
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "fox"}\n{"_id": "2", "text": "python"}\n')
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n2\tb\t2\n2\tc\t1\n")
    lines = (f"{query} Q0 {document} 1 {ord(document)} run\n" for query in "12" for document in CORPUS)
    (folder / "runs" / "found.trec").write_text("".join(lines))
    return folder


def test_a_table_for_people(capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path]) -> None:
    """A line a precision, the most exact first; then what auto is from now on."""
    code, out, err = called(capsys, "doctor", "--precision", checkpoint("bert"))
    assert (code, err) == (0, "")
    facts, table, verdict = out.split("\n\n")
    assert "the probes of crossrank" in facts
    heading, *rows = table.splitlines()
    assert heading.split("  ")[0] == "precision"
    assert [row.split()[0] for row in rows] == HAS
    assert rows[0].split()[3:7] == ["0.0000", "1.0000", rows[0].split()[5], "+0.0000"]
    fastest = verdict.removeprefix("The fastest that agrees with fp32: ").split(".")[0]
    with Reranker(str(checkpoint("bert"))) as reranker:
        assert f", {fastest}, " in repr(reranker)
    code, out, err = called(capsys, "doctor", checkpoint("bert"))
    assert f", {fastest}, " in out
    assert "the probes of crossrank" in out


def test_json_for_programs(capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path], notes: Path) -> None:
    """One document with a version; on a set of one's own, some of its queries."""
    arguments = ["doctor", "--precision", checkpoint("bert"), "--data", notes, "--split", "dev", "--json"]
    code, out, err = called(capsys, *arguments)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert (document["data"], document["queries"], document["pairs"]) == ("notes", 2, 8)
    assert [row["precision"] for row in document["precisions"]] == HAS
    exact = document["precisions"][0]
    assert (exact["tau"], exact["logit_difference_max"], exact["ndcg_difference"]) == (1.0, 0.0, 0.0)
    assert (exact["passes"], exact["gate"], exact["failures"]) == (True, None, [])
    assert exact["ms_per_100_pairs"] == round(1e5 / exact["pairs_per_s"], 3)
    assert document["auto"] in [row["precision"] for row in document["precisions"] if row["passes"]]
    assert json.loads(Path(document["kept"]).read_text())["on"] == "notes"
    code, out, _ = called(capsys, *arguments, "--limit", 1, "--threads", 1)
    assert (json.loads(out)["queries"], json.loads(out)["threads"]) == (1, 1)


def test_a_cache_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured is printed all the same, with the remedy on stderr; models open."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "file" / "cache"))
    code, out, err = called(capsys, "doctor", "--precision", checkpoint("bert"), "--json")
    assert (code, json.loads(out)["kept"]) == (0, None)
    assert "could not be kept" in err
    assert "CROSSRANK_CACHE" in err
    Reranker(str(checkpoint("bert"))).close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "x"], "are for --precision"),
        (["--threads", "1"], "are for --precision"),
        (["--precision", "--limit", "1"], "are for --data"),
        (["--precision", "--data", "no/such/folder"], "is no folder"),
        (["--precision", "no/such/./model"], "no/such"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """Options that have no meaning alone, folders that are not there: exit code 2, one message, no table."""
    code, out, err = called(capsys, "doctor", *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_rank_in_a_precision(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rank --precision` computes in it; one that the processor lacks is the caller's mistake."""
    (tmp_path / "docs.txt").write_text("the fox\nthe dog\n")
    code, out, _ = called(capsys, "rank", "fox", tmp_path / "docs.txt", "--precision", "fp32", "--json")
    assert code == 0
    with Reranker(precision="fp32", cache=None) as reranker:
        expected = reranker.rank("fox", ["the fox", "the dog"])
    assert [hit["logit"] for hit in json.loads(out)["hits"]] == [hit.logit for hit in expected]
    monkeypatch.setenv("CROSSRANK_ISA", "portable")
    if "bf16" not in _native.precisions("portable"):
        code, _, err = called(capsys, "rank", "fox", tmp_path / "docs.txt", "--precision", "bf16")
        assert (code, "(portable) runs" in err) == (2, True)
