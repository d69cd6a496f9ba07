"""What jobs read, without a cluster: candidates in partitions, files in any place and format, columns, texts."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusters import Dataset, make_dataset, write
from crossrank.cluster.columns import chosen, id_of
from crossrank.cluster.inputs import check_together, cut_file, places_of
from crossrank.cluster.plan import PARTITION_ROWS_MAX, cut, planned, repeated
from crossrank.cluster.storage import Folder, listed
from crossrank.cluster.tables import ENDINGS, Broken, columns_of, rows
from crossrank.cluster.texts import NoText, Source, Staged
from crossrank.errors import InputFileError, UsageError
from crossrank.writing import partial_of

IDS = st.text(min_size=1, max_size=6).filter(lambda key: id_of(key) == key)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "set", queries=12, depth=7, documents=30)


# --- how candidates are cut


@pytest.mark.property
@given(
    st.lists(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=30), max_size=4),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_partitions_hold_each_row_once_and_whole_groups(files: list[list[str | None]], unit: int, wanted: int) -> None:
    """They follow one another in each file, begin where the query changes, and all but a file's last have enough."""
    cuts = [cut(((row * 3, query) for row, query in enumerate(file)), unit) for file in files]
    partitions = planned(cuts, wanted)
    assert [part.number for part in partitions] == list(range(len(partitions)))
    for number, file in enumerate(files):
        parts = [part for part in partitions if part.file == number]
        assert [row for part in parts for row in range(part.start, part.start + part.rows)] == list(range(len(file)))
        assert all(part.place == part.start * 3 for part in parts)
        assert all(part.rows >= min(unit, wanted) for part in parts[:-1])
        for part in parts[1:]:
            earlier = [query for query in file[: part.start] if query is not None]
            assert file[part.start] is not None
            assert file[part.start] != (earlier or [None])[-1]


@pytest.mark.property
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=12), max_size=3))
def test_a_query_in_two_places_is_found(files: list[list[str]]) -> None:
    """Whether in one file or in two, and only then."""
    groups = [[query for n, query in enumerate(file) if not n or file[n - 1] != query] for file in files]
    every = [query for file in groups for query in file]
    found = repeated(cut(enumerate(file), 1) for file in files)
    assert len(found) == len({query for query in every if every.count(query) > 1})


def test_about_256_partitions_are_made_of_any_number_of_rows() -> None:
    """At least a unit, at most PARTITION_ROWS_MAX rows each."""
    small = cut(((row, str(row)) for row in range(100_000)), 100)
    assert 200 <= len(planned([small])) <= 260
    large = replace(small, rows=10**9, starts=np.arange(0, 10**9, 2_048), places=np.arange(0, 10**9, 2_048))
    assert max(part.rows for part in planned([large])) < PARTITION_ROWS_MAX + 2_048


def test_candidates_that_do_not_stand_together_are_refused(tmp_path: Path) -> None:
    """The message names the query and both places."""
    for name, queries in (("a.jsonl", "aab"), ("b.jsonl", "cca")):
        write(tmp_path / name, {"query_id": queries, "document_id": "xyz"})
    files = listed(tmp_path, ENDINGS)
    columns = ("query_id", "document_id")
    suspects = repeated(cut_file(file, columns, 1) for file in files)
    places = [places_of(file, columns, suspects) for file in files]
    with pytest.raises(InputFileError, match=r"query 'a' .*a\.jsonl, row 0, and again at .*b\.jsonl, row 2\. Sort"):
        check_together([file.path for file in files], places)


# --- files


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".jsonl", ".jsonl.gz"])
def test_any_place_in_any_format_leads_to_the_same_rows(ending: str, tmp_path: Path) -> None:
    """As many as are asked for, from each row on, in any order of columns."""
    file = tmp_path / f"t{ending}"
    plain = tmp_path / "t.jsonl"
    table = {"a": [f"ä{n}" for n in range(25)], "n": range(25), "b": ["x", None] * 12 + ["y"]}
    write(plain if ending == ".jsonl.gz" else file, table, row_group_size=10)
    if ending == ".jsonl.gz":
        file.write_bytes(gzip.compress(b"\n" + plain.read_bytes().replace(b"\n", b"\n\n")))
    (found,) = listed(file, ENDINGS)
    assert columns_of(found) == (
        {"a": "any", "n": "any", "b": "any"} if ".jsonl" in ending else {"a": "string", "n": "integer", "b": "string"}
    )
    every = list(rows(found, ["b", "a"]))
    expected = [[b, a] for a, b in zip(table["a"], table["b"], strict=True)]
    assert [list(values) for _, values in every] == expected
    for start, (place, _) in enumerate(every):
        assert [list(values) for _, values in rows(found, ["b", "a"], place=place, count=4)] == expected[
            start : start + 4
        ]


def test_lines_that_are_no_objects_are_told(tmp_path: Path) -> None:
    """In their place, so that the rows after them keep their numbers."""
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\n[1]\n{"a"\n\xff\n{"a": NaN}\n{}\n')
    found = [values for _, values in rows(listed(tmp_path, ENDINGS)[0], ["a"])]
    assert found[0] == [1]
    assert found[5] == [None]
    assert [type(row) for row in found[1:4]] == [Broken] * 3
    assert "JSON list" in found[1].why


def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    """Of each format."""
    for ending in (".parquet", ".arrow", ".jsonl.gz"):
        (tmp_path / f"t{ending}").write_bytes(b"nothing of the kind")
        with pytest.raises(InputFileError, match=rf"t{ending} cannot be read as what its name says"):
            columns_of(listed(tmp_path / f"t{ending}", ENDINGS)[0])


def test_a_file_that_changes_under_a_job_is_refused(tmp_path: Path) -> None:
    """And one that a node does not have."""
    write(tmp_path / "t.jsonl", {"a": [1]})
    (file,) = listed(tmp_path, ENDINGS)
    write(tmp_path / "t.jsonl", {"a": [1, 2]})
    with pytest.raises(InputFileError, match="was changed since the job began"):
        list(rows(file, ["a"]))
    (tmp_path / "t.jsonl").unlink()
    with pytest.raises(InputFileError, match="Every node must see"):
        list(rows(file, ["a"]))


def test_a_folder_is_read_with_all_below_but_what_is_hidden_or_empty(tmp_path: Path) -> None:
    """In the order of the names; a file twice is an error, and so is nothing."""
    for name in ("b.jsonl", "a/z.jsonl", "_temporary/x.jsonl", ".x.jsonl", "notes.txt", "a/_SUCCESS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, {"a": [1]})
    (tmp_path / "empty.jsonl").touch()
    assert [Path(file.path).name for file in listed(tmp_path, ENDINGS)] == ["z.jsonl", "b.jsonl"]
    for wrong, says in (
        ([tmp_path, tmp_path / "b.jsonl"], "given twice"),
        (tmp_path / "a/_SUCCESS", "holds no file"),
        (tmp_path / "none", "is not there"),
        ([], "at least one"),
        ("nowhere://x/y", "no place that can be read"),
    ):
        with pytest.raises((InputFileError, UsageError), match=says):
            listed(wrong, ENDINGS)


def test_an_object_store_of_fsspec_holds_inputs_and_output(dataset: Dataset) -> None:
    """Here one in memory, which knows no renaming: a file is there when it is whole."""
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    store.pipe("/in/c.parquet", Path(dataset.places[1], "run.parquet").read_bytes())
    (file,) = listed("memory://in", ENDINGS)
    assert sum(1 for _ in rows(file, ["query_id"])) == len(dataset.candidates)
    folder = Folder("memory://out/of/job")
    assert folder.is_empty()
    assert folder.read("x") is None
    folder.write("scores/x", b"1")
    folder.write("scores/x", b"2")
    assert folder.names("scores") == ["x"]
    assert folder.read("scores/x") == b"2"
    folder.remove(["scores/x", "scores/y"])
    assert folder.names("scores") == []


# --- columns


def test_columns_are_found_by_their_usual_names_or_as_said() -> None:
    """What is said goes first; whole numbers are ids, and the title may be missing."""
    there = {"docid": "integer", "text": "string", "body": "string", "title": "string"}
    assert chosen("corpus", there, {}, "f") == {"id": "docid", "text": "text", "title": "title"}
    assert chosen("corpus", there, {"corpus.text": "body"}, "f")["text"] == "body"
    assert chosen("queries", {"qid": "any", "query": "any"}, {}, "f") == {"id": "qid", "text": "query"}


@pytest.mark.parametrize(
    ("there", "said", "says"),
    [
        (
            {"id": "string"},
            {},
            r"f has no column for corpus.text: .* any of text, content, page_content; its columns are id",
        ),
        ({"id": "string", "text": "int64"}, {}, r"column 'text' \(corpus.text\) is of int64; it must be of strings"),
        ({"id": "double", "text": "string"}, {}, r"column 'id' \(corpus.id\) is of double"),
        ({"id": "integer", "text": "integer"}, {}, r"'text' \(corpus.text\) is of integer"),
        ({"id": "string", "text": "string"}, {"corpus.text": "body"}, r"looked for as 'body'"),
        ({"id": "string", "text": "string"}, {"corpus.title": "t"}, r"no column for corpus.title"),
    ],
)
def test_a_schema_that_does_not_fit_names_the_columns(
    there: Mapping[str, str], said: dict[str, str], says: str
) -> None:
    """Those that were looked for, and those that are there."""
    with pytest.raises(InputFileError, match=says):
        chosen("corpus", there, said, "f")


# --- texts


@pytest.mark.property
@given(
    st.dictionaries(IDS, st.text(max_size=8) | st.none() | st.floats() | st.integers(), min_size=1, max_size=20),
    st.lists(IDS, max_size=5),
)
def test_a_store_gives_back_every_text_it_was_given(texts: dict[str, Any], others: list[str]) -> None:
    """Or why there is none; other ids are not in it."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        file = Path(name, "c.jsonl")
        file.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
        staged = Staged.of(Source("corpus", listed(file, ENDINGS), ("id", "text")), Path(name, "scratch"))
        found = staged.texts.many([*texts, *others])
        staged.close()
    assert set(found) == set(texts)
    for key, text in texts.items():
        if isinstance(text, str) and text.strip():
            assert found[key] == text.strip()
        else:
            known = found[key]
            assert isinstance(known, NoText)
            assert known.reason == ("empty_text" if text is None or isinstance(text, str) else "not_a_string")


def test_a_title_comes_before_the_text_as_in_rank(tmp_path: Path) -> None:
    """And a document that has a title alone is read as that."""
    write(tmp_path / "c.jsonl", {"id": ["a", "b", "c"], "text": ["x", "y", ""], "title": ["T", None, "T"]})
    staged = Staged.of(Source("corpus", listed(tmp_path, ENDINGS), ("id", "text", "title")), tmp_path / "scratch")
    assert staged.texts.many("abc") == {"a": "T x", "b": "y", "c": "T"}
    staged.close()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "'a' stands a second time"),
        ([{"id": "a", "text": "x"}, {"id": None, "text": "y"}], "row 1 has no id: None"),
        ([{"id": "a", "text": "x"}, {"id": 0.5, "text": "y"}], "row 1 has no id: 0.5"),
        ([{"id": "a", "text": "x"}, ["b"]], "row 1: a JSON list, not an object"),
    ],
)
def test_a_corpus_that_cannot_be_looked_up_is_refused(lines: list[Any], says: str, tmp_path: Path) -> None:
    """And nothing of it stays."""
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputFileError, match=says):
        Staged.of(Source("corpus", listed(tmp_path / "c.jsonl", ENDINGS), ("id", "text")), tmp_path / "scratch")
    assert [file.suffix for file in (tmp_path / "scratch").iterdir()] == [".lock"]


def test_a_store_is_made_once_and_removed_when_unused_and_another_is_made(tmp_path: Path) -> None:
    """One that is in use stays; what a killed process left half made is made anew."""
    sources = []
    for name in "abc":
        write(tmp_path / f"{name}.jsonl", {"id": [name], "text": [name]})
        sources.append(Source("corpus", listed(tmp_path / f"{name}.jsonl", ENDINGS), ("id", "text")))
    scratch = tmp_path / "scratch"
    (partial_of(scratch / sources[0].name) / "rubbish").mkdir(parents=True)
    first = Staged.of(sources[0], scratch)
    made = (scratch / sources[0].name).stat().st_ino
    again = Staged.of(sources[0], scratch)
    assert (scratch / sources[0].name).stat().st_ino == made
    first.close()
    Staged.of(sources[1], scratch).close()
    third = Staged.of(sources[2], scratch)
    assert sorted(file.name for file in scratch.iterdir() if file.is_dir()) == sorted(
        s.name for s in (sources[0], sources[2])
    )
    again.close()
    third.close()
