"""Jobs, without a cluster: ranked, written, gone on with after any interruption, and refused."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusters import Dataset, make_dataset, read, scores
from crossrank import Reranker
from crossrank.cli.main import cli, run
from crossrank.cluster.columns import id_of
from crossrank.cluster.inputs import cut_file, tables_of
from crossrank.cluster.manifest import Entry, Manifest, Totals, check_same
from crossrank.cluster.output import Output, left
from crossrank.cluster.partition import POISON, SCORES, Wish
from crossrank.cluster.plan import Partition, planned
from crossrank.cluster.scoring import checked, identity, opened
from crossrank.cluster.session import check_versions
from crossrank.cluster.storage import PART, Folder
from crossrank.cluster.worker import LOST_MAX, Task, Worker, check_identity
from crossrank.errors import CrossrankError, NotFiniteError, UsageError

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


def test_a_partition_that_takes_its_workers_along_ends_the_job(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After LOST_MAX of them, with its rows; a job that is gone on with begins to count anew, and nothing stays."""
    task, manifest = begun(dataset, tmp_path / "out")
    first, second, *_ = manifest.partitions

    def dies(*_: object) -> None:
        raise SystemExit

    for _ in range(LOST_MAX):
        with monkeypatch.context() as patched, Worker(task) as worker:
            patched.setattr("crossrank.cluster.worker.ranked", dies)
            with pytest.raises(SystemExit):
                worker.done(second)
    with Worker(task) as worker:
        assert worker.done(first).scored == first.rows
        with pytest.raises(CrossrankError, match=rf"run\.parquet, rows {second.start} to .*: {LOST_MAX} workers died"):
            worker.done(second)
    output = Output(Folder(task.out))
    output.sweep()
    with Worker(task) as worker:
        assert worker.done(second).scored == second.rows
    output.finish(manifest)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", "scores"}


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
