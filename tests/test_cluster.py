"""Jobs, without a cluster: how candidates are cut, joined, ranked, written, and gone on with after any interruption."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusters import Dataset, make_dataset, read, scores, write
from crossrank import Reranker
from crossrank.cli.main import cli, run
from crossrank.cluster.columns import chosen, id_of
from crossrank.cluster.inputs import check_together, cut_file, places_of, tables_of
from crossrank.cluster.manifest import Entry, Manifest, Totals, check_same
from crossrank.cluster.output import Output, left
from crossrank.cluster.partition import POISON, SCORES, Wish
from crossrank.cluster.plan import PARTITION_ROWS_MAX, Partition, cut, planned, repeated
from crossrank.cluster.scoring import checked, identity, opened
from crossrank.cluster.session import check_versions
from crossrank.cluster.storage import PART, Folder, listed
from crossrank.cluster.tables import ENDINGS, Broken, columns_of, rows
from crossrank.cluster.texts import NoText, Source, Staged
from crossrank.cluster.worker import Task, Worker, check_identity
from crossrank.errors import CrossrankError, InputFileError, NotFiniteError, UsageError

IDS = st.text(min_size=1, max_size=6).filter(lambda key: id_of(key) == key)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "set", queries=12, depth=7, documents=30)


def begun(dataset: Dataset, out: Path, *, partition_rows: int = 10, **settings: Any) -> tuple[Task, Manifest]:
    """A job whose manifest is written, as `rank_dataset` does it, but for the cluster."""
    name, options = checked(None, settings.pop("options", {}))
    wish = Wish(**settings)
    tables = tables_of(*dataset.places, {})
    scratch = str(out.parent / "scratch")
    task = Task(*tables, wish, name, options, str(out), scratch, 1, 0)
    with opened(name, options, cpus=1, gpus=0) as ranker:
        task = task.pinned(identity(ranker))
    files = [cut_file(file, task.columns, partition_rows) for file in task.candidates]
    manifest = Manifest(task.job(), planned(files, partition_rows), {})
    Output(Folder(str(out))).begin(manifest)
    return replace(task, digest=manifest.digest), manifest


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
    (scratch / f"{sources[0].name}.part" / "rubbish").mkdir(parents=True)
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


# --- a partition, and its output


def test_a_job_gives_the_bits_of_one_process(dataset: Dataset, tmp_path: Path) -> None:
    """Whatever the partitions, in whatever order they are done."""
    out = tmp_path / "out"
    task, manifest = begun(dataset, out)
    assert len(manifest.partitions) == 6
    columns = {name: [asdict(part)[name] for part in reversed(manifest.partitions)] for name in Partition.__slots__}
    with Worker(task) as worker:
        entries = [Entry.from_json(entry) for entry in worker(columns)["entry"]]
    precision = task.options["precision"]
    assert scores(out) == dataset.expected(Reranker(cache=None, precision=precision, threads=1))
    assert list(read(out)[0]) == list(SCORES)
    totals = Totals.of(entries)
    assert (totals.rows, totals.scored, totals.poison) == (84, 84, {})
    assert 0 < totals.pairs <= 84
    assert totals.tokens > totals.pairs
    assert totals.seconds > 0
    Output(Folder(str(out))).finish(replace(manifest, entries={entry.partition.number: entry for entry in entries}))
    shown = json.loads((out / "manifest.json").read_text())
    assert (shown["state"], shown["totals"]["rows"], len(shown["entries"])) == ("complete", 84, 6)


def test_top_k_and_threshold_cut_each_query(dataset: Dataset, tmp_path: Path) -> None:
    """As they do in `rank`."""
    task, manifest = begun(dataset, tmp_path / "out", top_k=2)
    with Worker(task) as worker:
        for part in manifest.partitions:
            worker.done(part)
    found = scores(tmp_path / "out")
    expected = dataset.expected(Reranker(cache=None, precision=task.options["precision"], threads=1))
    assert found == {row: known for row, known in expected.items() if known[2] <= 2}


POISONED = [
    ("q1", "d1", None, None),
    ("q1", "nowhere", "missing_document", "document 'nowhere': it is not there"),
    ("q1", "empty", "empty_text", "document 'empty': the text is empty"),
    ("q1", "null", "empty_text", "document 'null': there is no text"),
    ("q1", "number", "not_a_string", "document 'number': 7 is no text"),
    ("q1", "nan", "not_a_string", "document 'nan': nan is no text"),
    ("q1", None, "no_id", "None is no id"),
    (None, "d1", "no_id", "None is no id"),
    ("q1", "d2", None, None),
    ("unknown", "d1", "unknown_query", "query 'unknown': it is not there"),
    ("blank", "d1", "empty_text", "query 'blank': the text is empty"),
    ("long", "d1", "refused", "The query"),
    ("long", "d2", "refused", "The query"),
    ("q2", "d1", None, None),
]


def test_rows_that_cannot_be_ranked_go_to_a_side_file_with_the_reason(tmp_path: Path) -> None:
    """The others are ranked as if those had not been there; each row is in one of both."""
    for name in ("queries", "candidates", "corpus"):
        (tmp_path / name).mkdir()
    queries = {"q1": "who", "q2": "what", "blank": " ", "long": "word " * 600}
    corpus = {"d1": "a man", "d2": "a thing", "empty": " ", "null": None, "number": 7, "nan": float("nan")}
    for name, texts in (("queries", queries), ("corpus", corpus)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (tmp_path / name / "t.jsonl").write_text("\n".join(lines))
    lines = [json.dumps({"query_id": query, "document_id": document}) for query, document, _, _ in POISONED]
    (tmp_path / "candidates" / "t.jsonl").write_text("\n".join([*lines, "{"]))
    told = {key: str(text) for key, text in corpus.items()}
    dataset = Dataset(tmp_path, queries, told, [(q, d) for q, d, why, _ in POISONED if why is None])
    task, manifest = begun(dataset, tmp_path / "out", partition_rows=100)
    (part,) = manifest.partitions
    with Worker(task) as worker:
        entry = worker.done(part)
    bad = read(tmp_path / "out", "poison")
    assert list(bad[0]) == list(POISON)
    expected = [(n, *row) for n, row in enumerate(POISONED) if row[2]] + [(14, None, None, "broken_row", "no JSON")]
    assert [(row["row"], row["query_id"], row["document_id"], row["reason"]) for row in bad] == [
        e[:4] for e in expected
    ]
    for row, (*_, why) in zip(bad, expected, strict=True):
        assert row["why"].startswith(why), row
    found = scores(tmp_path / "out")
    assert set(found) | {row["row"] for row in bad} == set(range(15))
    alone = dataset.expected(Reranker(cache=None, precision=task.options["precision"], threads=1))
    assert sorted(found.values()) == sorted(alone.values())
    assert entry.poison == {
        reason: [row["reason"] for row in bad].count(reason) for reason in sorted({r["reason"] for r in bad})
    }


class Failing:
    """A ranker whose model gives no number for one document."""

    def __init__(self, ranker: Reranker, bad: str) -> None:
        self._ranker, self._bad = ranker, bad

    def rank_many(self, queries: Any, documents_per_query: Any, **options: Any) -> Any:
        documents = [list(some) for some in documents_per_query]
        if any(self._bad in some for some in documents):
            raise NotFiniteError(f"the model gives nan for {self._bad!r}")
        return self._ranker.rank_many(list(queries), documents, **options)


def test_a_document_without_a_finite_score_takes_no_other_along(bundled: Reranker) -> None:
    """It alone is poison; a failure that is for no document ends the job."""
    from crossrank.cluster.partition import Asked, Done, ranked

    asked = [Asked(n, f"q{n // 3}", f"d{n}", f"who {n // 3}", text) for n, text in enumerate("abcdef")]
    done = Done()
    ranked(asked, Failing(bundled, "e"), Wish(), done)  # type: ignore[arg-type]
    assert sorted(row[-1] for row in done.scores) == [0, 1, 2, 3, 5]
    assert [(row[0], row[3]) for row in done.poison] == [(4, "not_finite")]

    class Whole(Failing):
        def rank_many(self, queries: Any, documents_per_query: Any, **options: Any) -> Any:
            documents = list(documents_per_query)
            if len(documents[0]) > 1:
                raise UsageError("two are one too many")
            return self._ranker.rank_many(list(queries), documents, **options)

    with pytest.raises(UsageError, match="one too many"):
        ranked(asked, Whole(bundled, ""), Wish(), Done())  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 5), max_size=6), st.sets(st.integers(0, 5)), st.binary(max_size=40))
def test_a_job_is_gone_on_with_from_any_state(
    dataset: Dataset, done: list[int], lost: set[int], rubbish: bytes
) -> None:
    """Whatever was finished, twice too, or vanished, or was left half written: at the end each row is there once."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        out = Path(name, "out")
        task, manifest = begun(dataset, out)
        with Worker(task) as worker:
            for number in done:
                worker.done(manifest.partitions[number])
        for number in lost:
            (out / "scores" / f"part-{number:06d}.parquet").unlink(missing_ok=True)
        (out / "scores").mkdir(exist_ok=True)
        (out / "scores" / f"{PART}x-part-000003.parquet").write_bytes(rubbish)
        if rubbish:
            (out / "scores" / "part-000004.parquet").write_bytes(rubbish)
        output = Output(Folder(str(out)))
        known = output.manifest(resume=True, overwrite=False)
        assert known is not None
        assert known.digest == manifest.digest == task.digest
        output.sweep()
        entries = output.entries(known)
        assert set(entries) == set(done) - lost - ({4} if rubbish else set())
        with Worker(task) as worker:
            for part in left(known, entries):
                entries[part.number] = worker.done(part)
        assert scores(out) == _expected(dataset, task)
        assert Totals.of(entries.values()).rows == 84
        assert not list((out / "scores").glob(f"{PART}*"))


def _expected(dataset: Dataset, task: Task, known: dict[str, Any] = {}) -> Any:  # noqa: B006 - computed once
    if "it" not in known:
        known["it"] = dataset.expected(Reranker(cache=None, precision=task.options["precision"], threads=1))
    return known["it"]


def test_a_partition_that_is_there_is_not_done_again(dataset: Dataset, tmp_path: Path) -> None:
    """A worker that takes over from one that died finds its entry; one of another job does not count."""
    task, manifest = begun(dataset, tmp_path / "out")
    with Worker(task) as worker:
        entry = worker.done(manifest.partitions[0])
    assert Worker(task).done(manifest.partitions[0]) == entry, "not as it was, with the seconds that it took"
    output = Output(Folder(str(tmp_path / "out")))
    assert output.entry(0, task.digest) == entry
    assert output.entry(0, "another") is None


def test_an_output_that_exists_is_refused_unless_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    """What is not ours is never touched."""
    out = tmp_path / "out"
    output = Output(Folder(str(out)))
    assert output.manifest(resume=False, overwrite=False) is output.manifest(resume=True, overwrite=False) is None
    task, manifest = begun(dataset, out)
    with Worker(task) as worker:
        worker.done(manifest.partitions[0])
    with pytest.raises(UsageError, match=r"holds a job's results\. Give --resume"):
        output.manifest(resume=False, overwrite=False)
    with pytest.raises(UsageError, match="exclude each other"):
        output.manifest(resume=True, overwrite=True)
    assert output.manifest(resume=False, overwrite=True) is None
    output.begin(manifest)
    assert output.entries(manifest) == {}
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        Output(Folder(str(tmp_path / "file"))).manifest(resume=False, overwrite=False)
    with pytest.raises(UsageError, match="no job's"):
        Output(Folder(str(tmp_path))).manifest(resume=False, overwrite=True)
    (out / "manifest.json").write_text('{"schema_version": 2}')
    with pytest.raises(UsageError, match="schema version 2"):
        output.manifest(resume=True, overwrite=False)
    (out / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="no manifest"):
        output.manifest(resume=True, overwrite=False)


def test_going_on_with_another_job_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    """The message says what is not the same."""
    one, _ = begun(dataset, tmp_path / "one")
    other, _ = begun(dataset, tmp_path / "other", top_k=3, options={"max_length": 64})
    check_same(one.job(), json.loads(json.dumps(one.job())), "out")
    with pytest.raises(UsageError, match=r"settings.top_k was null, is 3") as caught:
        check_same(one.job(), other.job(), "out")
    assert "max_length" in str(caught.value)
    assert "model.settings.max_length" in str(caught.value)


def test_a_worker_whose_model_is_another_refuses(dataset: Dataset, tmp_path: Path, checkpoint: Any) -> None:
    """It would mix two models' scores; the message says what is not the same."""
    task, _ = begun(dataset, tmp_path / "out")
    with Reranker(str(checkpoint("bert")), cache=None) as ranker, pytest.raises(CrossrankError, match="model was"):
        check_identity(task, ranker)


def test_nodes_with_another_version_are_named() -> None:
    """And those without any."""
    from crossrank import __version__

    check_versions({"a": __version__})
    with pytest.raises(UsageError, match=r"2 of the cluster's 3 nodes: b has 0.0.9, c has none. Install crossrank=="):
        check_versions({"a": __version__, "c": None, "b": "0.0.9"})


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("cohere:rerank-v4.0-pro", {}, "asked over the network"),
        (None, {"threads": 2}, "'threads' cannot be set; allowed: .*max_length"),
        (None, {"max_lenght": 2}, "'max_lenght' cannot be set"),
    ],
)
def test_a_model_that_no_job_can_have_is_refused(model: str | None, options: dict[str, Any], says: str) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match=says):
        checked(model, options)


# --- the command


def crossrank(*arguments: object) -> int:
    """The exit code; what was said is on stderr."""
    return run(partial(cli.main, ["rank-dataset", *map(str, arguments)], standalone_mode=False))


def test_mistakes_are_told_before_a_cluster_is_looked_for(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line, no traceback."""
    queries, candidates, corpus = dataset.places
    files = ("--queries", queries, "--corpus", corpus, "--out", tmp_path / "out")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    for said, says in (
        (("--candidates", tmp_path / "none"), "is not there"),
        (("--candidates", queries), "no column for candidates.document"),
        (("--candidates", candidates, "--column", "corpus.texd=x"), "no column's role"),
        (("--candidates", candidates, "--column", "corpus.text"), "no ROLE=NAME"),
        (("--candidates", candidates, "--resume", "--overwrite"), "exclude each other"),
        (("--candidates", candidates, "--out", tmp_path / "there"), "no job's"),
        (("--candidates", candidates, "--model", "voyage:rerank-2.5"), "asked over the network"),
        (("--candidates", candidates, "--address", "ray://x:1"), "must be in the cluster"),
        (("--candidates", candidates, "--address", "nowhere"), "give host:port"),
    ):
        assert crossrank(*files, *said) == 2, said
        told = capsys.readouterr()
        assert told.out == ""
        assert says in told.err


def test_an_address_where_nobody_answers_is_our_failure(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, at once; and the same command can be given again."""
    queries, candidates, corpus = dataset.places
    said = ("--queries", queries, "--candidates", candidates, "--corpus", corpus, "--out", tmp_path / "out")
    assert crossrank(*said, "--address", "127.0.0.1:1") == 1
    assert "there is no Ray cluster at '127.0.0.1:1'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
