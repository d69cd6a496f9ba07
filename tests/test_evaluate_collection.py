"""Test collections are read as they are, and refused with the place and the remedy when they contradict themselves."""

import codecs
import gzip
import json
from pathlib import Path

import pytest

from crossrank.collection import Collection, read_collection, read_qrels, read_run, write_run
from crossrank.collection.runs import default_run, run_name
from crossrank.errors import InputFileError, UsageError
from crossrank.evaluate.bm25 import Bm25
from crossrank.evaluate.candidates import candidates_of, from_bm25, from_pool, from_run, has_pools


def write_set(folder: Path, qrels: str = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td3\t1\n") -> Path:
    """Two questions, three documents."""
    (folder / "qrels").mkdir(parents=True)
    texts = {"d1": "cats sleep", "d2": "dogs bark at cats", "d3": "dogs run"}
    lines = [json.dumps({"_id": key, "title": "", "text": text}) + "\n" for key, text in texts.items()]
    (folder / "corpus.jsonl").write_text("".join(lines))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "cats"}\n{"_id": "q2", "text": "dogs"}\n')
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def test_a_folder_in_beir_layout(tmp_path: Path) -> None:
    """Texts, titles, grades; gzipped or not."""
    folder = write_set(tmp_path / "pets")
    (folder / "corpus.jsonl.gz").write_bytes(
        gzip.compress(b'{"_id": 1, "title": "Cats", "text": "sleep"}\n\n{"_id": "d3", "text": "dogs"}\n')
    )
    (folder / "corpus.jsonl").unlink()
    pets = read_collection(folder)
    assert pets.name == "pets"
    assert pets.corpus == {"1": "Cats sleep", "d3": "dogs"}
    assert pets.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 1}}
    assert pets.judged == ["q1", "q2"]
    assert pets.relevant("q1") == ["d1"]


def test_files_anywhere(tmp_path: Path) -> None:
    """Without a folder all three files are needed; with one, a file takes the place of the folder's."""
    folder = write_set(tmp_path / "pets")
    files = {"queries": folder / "queries.jsonl", "corpus": folder / "corpus.jsonl"}
    trec = tmp_path / "qrels.txt"
    trec.write_text("q1 0 d2 1\n")
    assert read_collection(None, **files, qrels=trec).qrels == {"q1": {"d2": 1}}
    assert read_collection(folder, qrels=trec).judged == ["q1"]
    with pytest.raises(InputFileError, match="three files are needed"):
        read_collection(None, **files)


@pytest.mark.parametrize(
    ("qrels", "told"),
    [
        ("x1\td1\t1\n", "none of its 1 query ids is in .*queries.jsonl.*different sets"),
        ("q1\td1\t1\nx1\td1\t1\n", "1 of its 2 query ids are not in .*'x1'.*take their judgements out"),
        ("q1\td1\t0\nq2\td1\t0\n", "no document is relevant to any query.*--split"),
        ("q1\tx1\t1\nq2\tx2\t1\nq2\td1\t0\n", "none of its 2 relevant documents is in .*corpus.jsonl"),
        ("", "holds no judgements"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgements"),
        ("q1\td1\n", "line 1: 'q1\\\\td1' is no judgement"),
        ("q1\td1\thigh\n", "line 1: .* is no judgement"),
        ("q1\td1\t1\nq1\td1\t2\n", "line 2: q1 d1 is judged 2, and 1 above"),
    ],
)
def test_qrels_that_cannot_be_used(tmp_path: Path, qrels: str, told: str) -> None:
    """The message names the file and what to do."""
    with pytest.raises(InputFileError, match=told):
        read_collection(write_set(tmp_path / "pets", qrels))


def test_a_split_that_is_missing(tmp_path: Path) -> None:
    """The message names the splits that are there."""
    with pytest.raises(InputFileError, match=r"no qrels/dev.tsv; splits there: test. Choose one with --split"):
        read_collection(write_set(tmp_path / "pets"), split="dev")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"{broken\n", "line 1: each line must be"),
        (b'{"text": "no id"}\n', "line 1: each line must be"),
        (b"[]\n", "line 1: each line must be"),
        (
            b'{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n',
            "line 2: the id 'd1' stands in the file a second",
        ),
        (b'{"_id": "d0", "text": "x"}\n{"_id": "d1", "text": "\xff"}\n', "line 2: byte 0xff is not UTF-8"),
        (codecs.BOM_UTF16_LE + '{"_id": "d1", "text": "x"}'.encode("utf-16-le"), "iconv -f UTF-16"),
    ],
)
def test_texts_that_cannot_be_read(tmp_path: Path, content: bytes, told: str) -> None:
    """The message names the file and the line."""
    folder = write_set(tmp_path / "pets")
    (folder / "corpus.jsonl").write_bytes(content)
    with pytest.raises(InputFileError, match=told):
        read_collection(folder)


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl"])
def test_a_file_that_is_missing(tmp_path: Path, missing: str) -> None:
    """The message names it."""
    folder = write_set(tmp_path / "pets")
    (folder / missing).unlink()
    with pytest.raises(InputFileError, match=missing):
        read_collection(folder)
    with pytest.raises(InputFileError, match="is no folder"):
        read_collection(tmp_path / "nothing")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_qrels(tmp_path / "nothing.tsv")


def test_lines_of_a_run_need_not_be_sorted(tmp_path: Path) -> None:
    """The score decides, not the rank or the place; equal scores keep the file's order."""
    file = tmp_path / "a.trec"
    file.write_text("q1 Q0 d1 1 0.5 x\nq2 Q0 d1 1 1 x\nq1 Q0 d2 2 2e0 x\n\nq1 Q0 d3 3 0.5 x\n")
    assert read_run(file) == {"q1": [("d2", 2.0), ("d1", 0.5), ("d3", 0.5)], "q2": [("d1", 1.0)]}
    assert read_run(file, depth=1) == {"q1": [("d2", 2.0)], "q2": [("d1", 1.0)]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "q1 Q0 d1 1 2 x\nq1 Q0 d1 2 1 x\n",
            "line 2: query q1 has the document d1 a second time. Keep one line of each",
        ),
        ("q1 Q0 d1 1\n", "line 1: .* is no line of a TREC run"),
        ("q1 Q0 d1 1 best x\n", "line 1: .* is no line of a TREC run"),
        ("q1 Q0 d1 1 nan x\n", "line 1: the score nan is no finite number"),
        ("\n", "holds no run"),
    ],
)
def test_runs_that_cannot_be_used(tmp_path: Path, content: str, told: str) -> None:
    """The message names the line."""
    (tmp_path / "a.trec").write_text(content)
    with pytest.raises(InputFileError, match=told):
        read_run(tmp_path / "a.trec")


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every digit of a score survives."""
    run = {"q1": [("d1", 0.1 + 0.2), ("d2", -1e-30)], "q2": [("d1", 3.0)]}
    write_run(tmp_path / "a.trec", run, "x")
    assert read_run(tmp_path / "a.trec") == run


@pytest.mark.parametrize(
    ("runs", "chosen"),
    [
        (["search.trec"], "search.trec"),
        (["search.test.trec", "search.dev.trec", "other.trec"], "search.test.trec"),
        (["BM25.trec", "BM25_RM3.trec", "TASB.trec"], "BM25.trec"),
        (["BM25_simple.test.trec.gz", "TASB.test.trec.gz"], "BM25_simple.test.trec.gz"),
        (["BM25_a.trec", "BM25_b.trec"], None),
        (["ADA.trec", "TASB.trec"], None),
        (["search.dev.trec"], None),
        (["notes.txt"], None),
        ([], None),
    ],
)
def test_the_run_that_is_meant_if_none_is_named(tmp_path: Path, runs: list[str], chosen: str | None) -> None:
    """The only one for the split, or BM25's; not one of another split, and no guess among several."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "qrels").mkdir()
    for name in [*(f"runs/{run}" for run in runs), "qrels/test.tsv", "qrels/dev.tsv"]:
        (tmp_path / name).touch()
    found = default_run(tmp_path, "test")
    assert (found and found.name) == chosen


def test_a_run_is_called_by_its_file() -> None:
    """Without its ending and its split."""
    assert run_name(Path("a/BM25.v2.test.trec.gz"), "test") == "BM25.v2"
    assert run_name(Path("run.txt"), "test") == "run.txt"


PETS = Collection(
    "pets",
    {"q1": "Cats", "q2": "a dog", "q3": "elephants"},
    {"d1": "cats sleep", "d2": "dogs bark at cats", "d3": "the dog", "d4": "Cats! cats, cats"},
    {"q1": {"d1": 1, "d2": 0, "gone": 1}, "q2": {"d3": 1}, "q3": {"d1": 1}},
)


def test_bm25_finds_documents_with_the_querys_words() -> None:
    """Any case, without punctuation, stop words or documents that share nothing; more of a word is better."""
    found = Bm25(PETS.corpus).search(PETS.queries, 10)
    assert [document for document, _ in found["q1"]] == ["d4", "d1", "d2"]
    assert [document for document, _ in found["q2"]] == ["d3"]
    assert found["q3"] == []
    assert all(score > 0 for ranked in found.values() for _, score in ranked)
    assert Bm25(PETS.corpus).search(PETS.queries, 1)["q1"] == found["q1"][:1]


def test_bm25_by_the_formula() -> None:
    """The score is that of Lucene's BM25 with k1 0.9 and b 0.4, worked by hand."""
    import math

    (document, score), *_ = Bm25({"a": "red fox", "b": "fox", "c": "owl"}).search({"q": "red"}, 3)["q"]
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    assert document == "a"
    assert score == pytest.approx(idf * 1 / (1 + 0.9 * (1 - 0.4 + 0.4 * 2 / (4 / 3))), rel=1e-5)


def test_equal_bm25_scores_keep_the_corpus_order() -> None:
    """Also where the depth cuts between them."""
    corpus = {f"d{i}": "same words" for i in range(9)}
    assert [d for d, _ in Bm25(corpus).search({"q": "words"}, 4)["q"]] == ["d0", "d1", "d2", "d3"]


@pytest.mark.parametrize("corpus", [{"d1": ""}, {"d1": "the", "d2": "!"}])
def test_bm25_needs_words(corpus: dict[str, str]) -> None:
    """A corpus without any is refused."""
    with pytest.raises(UsageError, match="no words to search for"):
        Bm25(corpus)


def test_the_pool_is_what_was_judged() -> None:
    """Each query's judged documents that the corpus has, in BM25's order, relevant or not."""
    pool = from_pool(PETS)
    assert [document for document, _ in pool.run["q1"]] == ["d1", "d2"]
    assert pool.run["q3"] == [("d1", 0.0)]
    assert pool.depth is None
    assert pool.notes == ("1 of 4 relevant documents are not in the corpus and cannot be found.",)
    assert not has_pools(PETS)
    assert has_pools(Collection("p", {"q1": "a"}, PETS.corpus, {"q1": {"d1": 1, "d2": 0}}))


def test_a_pool_of_one_class_is_refused() -> None:
    """Where all judged documents are relevant, any order is perfect."""
    with pytest.raises(UsageError, match=r"one class only.*--run or --bm25"):
        from_pool(Collection("pets", PETS.queries, PETS.corpus, {"q1": {"d1": 1, "d2": 2}}))


def test_candidates_are_cut_at_the_depth() -> None:
    """For the judged queries that the run has; a query that it lists without documents stays."""
    stage = from_run({"q1": [("d2", 2.0), ("d1", 1.0), ("d3", 0.5)], "q3": [], "other": [("d1", 1.0)]}, depth=2)
    candidates = candidates_of(stage, PETS)
    assert candidates.ids == {"q1": ["d2", "d1"], "q3": []}
    assert candidates.notes == (
        "first stage has 2 of the 3 judged queries; others are left out.",
        "1 of 2 queries have no candidates; they count as 0 for all.",
    )


def test_a_run_of_another_set_is_refused() -> None:
    """The message shows both sides' ids."""
    with pytest.raises(UsageError, match=r"any of the 3 judged queries of pets .*'x1', theirs 'q1'"):
        candidates_of(from_run({"x1": [("d1", 1.0)]}, name="mine"), PETS)


def test_candidates_without_a_text_are_refused_unless_they_are_few() -> None:
    """More than 1 % are an error that says how many; fewer are left out of what rankers get."""
    run = {"q1": [("d1", 2.0), ("gone", 1.0)]}
    with pytest.raises(UsageError, match=r"1 of 2 candidates have no text in the corpus of pets .*'gone'"):
        candidates_of(from_run(run), PETS)
    corpus = {f"d{i}": "text" for i in range(200)}
    many = Collection("many", {"q1": "a"}, corpus, {"q1": {"d1": 1}})
    found = [("gone", 500.0), *((document, 200.0 - i) for i, document in enumerate(corpus))]
    candidates = candidates_of(from_run({"q1": found}, depth=201), many)
    assert candidates.ids["q1"] == list(corpus)
    assert candidates.notes == ("1 of 201 candidates have no text in the corpus; rankers leave them at the end.",)


def test_bm25_as_a_first_stage() -> None:
    """It searches for judged queries only."""
    stage = from_bm25(PETS, depth=2)
    assert stage.run.keys() == {"q1", "q2", "q3"}
    assert len(stage.run["q1"]) == 2
