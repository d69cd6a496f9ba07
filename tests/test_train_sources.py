"""Sources become queries with judged documents; what is sampled depends on the seed alone, and every fault is named."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.errors import InputFileError, UsageError
from crossrank.train.augment import drop_words, keywords, without
from crossrank.train.options import SourceConfig
from crossrank.train.plan import make_plan
from crossrank.train.sources import check_classes, read_source
from training import TOPICS, write_jsonl, write_set, write_triples


def read(path: Path, kind: str, seed: int = 1, **options: object):
    return read_source(SourceConfig(path=str(path), kind=kind, **options), path, seed)


def test_triples_have_relevant_and_other_documents(tmp_path: Path) -> None:
    source = read(write_triples(tmp_path / "t.jsonl", 6), "triples")
    one = next(one for one in source.judged if "fox" in one.query)
    assert {source.documents[place][:7]: grade for place, grade in one.grades.items()} == {"The fox": 1, "The dog": 0}


def test_beir_folders_with_and_without_titles(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", split="train")
    assert set(read(folder, "beir").documents) == {f"{t.upper()} About the {t} and more." for t in TOPICS}
    assert set(read(folder, "beir", titles=0.0).documents) == {f"About the {t} and more." for t in TOPICS}


def test_documents_of_the_exclusion_file_are_gone_with_their_queries(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", split="train")
    (folder / "out.txt").write_text("d0\nd3\n")
    source = read(folder, "beir", exclude="out.txt")
    assert len(source.documents) == 4
    assert {one.query for one in source.judged} == {f"about {TOPICS[i]}" for i in (1, 2, 4, 5)}


def test_grades_count_as_shares_of_the_highest_when_asked(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", split="train")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t4\nq0\td2\t0\n")
    assert sorted(read(folder, "beir").judged[0].grades.values()) == [0, 1, 1]
    assert sorted(read(folder, "beir", graded=True).judged[0].grades.values()) == [0, 0.25, 1]


def test_clicks_count_only_where_the_eye_has_passed(tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "c.jsonl",
        [
            {"query": "q", "shown": ["a", "b", "c", "d", "e"], "clicked": [1]},
            {"query": "q", "shown": ["b", "a"], "clicked": [1]},
            {"query": "nothing clicked", "shown": ["a", "b"], "clicked": []},
        ],
    )
    source = read(file, "clicks")
    (one,) = source.judged
    rates = {source.documents[place]: rate for place, rate in one.grades.items()}
    assert rates == {"a": 0.5, "b": 0.5, "c": 0.0}  # d and e lie below the last click and the one after it


def test_scored_pairs_are_labels_or_a_teachers_opinion(tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "p.jsonl", [{"query": "q", "document": d, "score": s} for d, s in (("a", 1), ("b", 0.2))]
    )
    (one,) = read(file, "pairs").judged
    assert (list(one.grades.values()), one.scores) == ([1.0, 0.2], {})
    (one,) = read(file, "pairs", scores="teacher").judged
    assert all(math.isnan(grade) for grade in one.grades.values())
    assert list(one.scores.values()) == [1.0, 0.2]
    assert one.relevant == [0]


def test_the_inverse_cloze_task_asks_for_the_rest_of_a_text(tmp_path: Path) -> None:
    text = "The first sentence says a thing. The second sentence says another thing. The third one ends it all now."
    write_jsonl(tmp_path / "set" / "corpus.jsonl", [{"_id": str(i), "text": f"{text} {i}."} for i in range(30)])
    source = read(tmp_path / "set", "cloze")
    assert source.corpus_size == 30
    taken_out = [one.query not in source.documents[one.relevant[0]] for one in source.judged]
    assert 20 < sum(taken_out) < 30  # one in ten stays
    assert all(source.documents[one.hidden[0]].startswith(text[:20]) for one in source.judged)


def test_a_quoted_query_is_taken_out_of_its_document_and_the_original_hidden(tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "t.jsonl", [{"query": "Show a file", "positive": "cat: show a file: cat x", "negatives": ["ls"]}]
    )
    source = read(file, "triples", unquote=1.0)
    (one,) = source.judged
    assert source.documents[one.relevant[0]] == "cat: : cat x"
    assert [source.documents[place] for place in one.hidden] == ["cat: show a file: cat x"]


def test_equal_seeds_sample_equally_and_others_do_not(tmp_path: Path) -> None:
    file = write_triples(tmp_path / "t.jsonl", 100)
    first, again, other = (
        [one.query for one in read(file, "triples", seed, limit=20, drop_words=0.3).judged] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == 20


def test_at_most_so_many_queries_of_a_document(tmp_path: Path) -> None:
    entries = [{"query": f"q {i}", "positive": f"d {i % 3}", "negatives": ["x"]} for i in range(30)]
    source = read(write_jsonl(tmp_path / "t.jsonl", entries), "triples", queries_per_document_max=4)
    assert len(source.judged) == 12


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": ', r"t.jsonl, line 2 is no JSON"),
        ('["query"]', r"t.jsonl, line 2 must be an object"),
        ('{"query": " ", "positive": "x"}', r"line 2: 'query' must be a string that is not empty, not ' '"),
        ('{"query": "q"}', r"line 2: 'positive' must be"),
        ('{"query": "q", "positive": "x", "negatives": [3]}', r"line 2: 'negatives' must be"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"query": "q", "positive": "x", "negatives": ["y"]}\n' + line + "\n")
    with pytest.raises(InputFileError, match=message):
        read(file, "triples")


def test_broken_scores_and_clicks_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for content, kind, message in (
        ('{"query": "q", "document": "d", "score": NaN}', "pairs", "'score' must be a finite number, not nan"),
        ('{"query": "q", "document": "d", "score": 7}', "pairs", '7 is no label in 0..1. .*scores = "teacher"'),
        ('{"query": "q", "shown": ["a"], "clicked": [1]}', "clicks", r"positions in 'shown' \(0 to 0\), not \[1\]"),
        ('{"query": "q", "shown": ["a"], "clicked": []}', "clicks", "no click; there is one class only"),
        ("", "triples", "is empty"),
    ):
        file.write_text(content)
        with pytest.raises(InputFileError, match=message):
            read(file, kind)


def test_missing_files_folders_and_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"nothing.jsonl does not exist"):
        read(tmp_path / "nothing.jsonl", "triples")
    folder = write_set(tmp_path / "set", split="test")
    with pytest.raises(InputFileError, match=r"no qrels/train.tsv; splits there: test"):
        read(folder, "beir")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(InputFileError, match=r"no queries.jsonl"):
        read(folder, "beir", split="test")


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", split="train")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t0\n")
    with pytest.raises(InputFileError, match="no query with a relevant document"):
        read(folder, "beir")
    positive = write_jsonl(tmp_path / "t.jsonl", [{"query": f"q{i}", "positive": f"d{i}"} for i in range(3)])
    with pytest.raises(UsageError, match=r"one class only: .*Set negatives.hard or negatives.random"):
        check_classes(read(positive, "triples"), others=0)
    alone = write_jsonl(tmp_path / "u.jsonl", [{"query": "q", "positive": "d"}])
    with pytest.raises(InputFileError, match="one document only"):
        check_classes(read(alone, "triples"), others=3)


def test_keywords_keep_content_words_in_order() -> None:
    assert keywords("What is the capital of France?") == "capital France"
    assert keywords("who are you") == "who are you"


@given(st.text(min_size=1).filter(str.strip), st.floats(0, 0.9))
def test_changed_texts_are_never_empty(text: str, share: float) -> None:
    rng = np.random.default_rng(0)
    assert drop_words(text, share, rng).strip()
    assert keywords(text).strip()
    assert without(text, text).strip()


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0.1, 9)), min_size=1, max_size=5),
    st.integers(1, 60),
    st.integers(0, 3),
)
def test_a_plan_has_the_wanted_rows_and_no_query_too_often(
    sizes: list[tuple[int, float]], wanted: int, seed: int
) -> None:
    sources = [SourceConfig(path=f"s{i}", share=share, repeats_max=2) for i, (_, share) in enumerate(sizes)]
    counts = [size for size, _ in sizes]
    if wanted > 2 * sum(counts):
        with pytest.raises(UsageError, match=r"at most. Raise repeats_max"):
            make_plan(sources, counts, wanted, seed)
        return
    plan = make_plan(sources, counts, wanted, seed)
    assert len(plan) == wanted
    rows = list(zip(plan.source.tolist(), plan.query.tolist(), plan.turn.tolist(), strict=True))
    assert len(set(rows)) == wanted
    assert all(query < counts[source] and turn < 2 for source, query, turn in rows)
    again = make_plan(sources, counts, wanted, seed)
    assert np.array_equal(plan.query, again.query)


def test_shares_are_kept_and_an_early_source_comes_early() -> None:
    sources = [SourceConfig(path="a", share=3), SourceConfig(path="b", share=1, until=0.5)]
    plan = make_plan(sources, [1000, 1000], 1000, 0)
    assert np.bincount(plan.source).tolist() == [750, 250]
    assert plan.of(1).max() < 700
    assert json.loads(json.dumps(plan.turn.max().item())) == 0


def test_lines_about_one_query_are_one_query(tmp_path: Path) -> None:
    lines = [{"query": "q", "positive": d, "negatives": ["b"]} for d in ("a", "b", "c")]
    (one,) = read(write_jsonl(tmp_path / "t.jsonl", lines), "triples").judged
    assert sorted(one.grades.values()) == [1, 1, 1]


def test_a_changed_document_keeps_its_score(tmp_path: Path) -> None:
    line = {"query": "fox runs", "document": "the fox runs far", "score": 5.0}
    source = read(write_jsonl(tmp_path / "p.jsonl", [line]), "pairs", scores="teacher", unquote=1.0)
    (one,) = source.judged
    assert (one.scores, [source.documents[place] for place in one.relevant]) == ({1: 5.0}, ["the far"])
    assert without("hello", "?!") == "hello"


def test_no_negatives_at_all_are_refused_where_some_are_judged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one class only"):
        check_classes(read(write_triples(tmp_path / "t.jsonl"), "triples"), others=0)


def test_an_early_source_ends_where_it_says() -> None:
    plan = make_plan([SourceConfig(path="a", until=0.33), SourceConfig(path="b", share=9)], [500, 5000], 4000, 1)
    assert plan.of(0).max() < 0.33 * 4000
