"""Measuring: each in its own process, in turn, with the same texts; whoever fails stops no other. No time is judged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank.bench.options import Options
from crossrank.bench.process import Worker, WorkerError
from crossrank.bench.report import as_markdown, failures, measured_table, quoted_table, result_of
from crossrank.bench.result import read_result, write_result
from crossrank.bench.run import Bench, Step
from crossrank.bench.shapes import SHAPES, TINY, write_shape
from crossrank.bench.subjects import Group, Subject, Wanted, groups
from crossrank.bench.texts import Texts, built, of_folder, own
from crossrank.checkpoint.profile import read_profile
from crossrank.errors import InputFileError, UsageError
from crossrank.reranker import Reranker

QUICK = Options(documents=(2, 3), repeats_max=6, cold_starts=1, timeout_s=120)
TEXTS = own("letters", ["a", "b"], ["c d", "e", "f g h", "i"])


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    """A subject by the name of its class in runners_of_bench."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *_python_path()]))

    def make(kind: str, **options: object) -> Subject:
        module = f"runs_{kind.lower()}"
        (tmp_path / f"{module}.py").write_text(f"from runners_of_bench import {kind} as Runner\n")
        return Subject(kind, module, options, "")

    return make


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [str(Path(__file__).parent), *([given] if given else [])]


def run(*subjects: Subject, texts: Texts = TEXTS, options: Options = QUICK) -> Bench:
    bench = Bench(texts, options)
    bench.run([Group("fake", "nowhere", subjects)])
    return bench


def test_a_case_for_each_number_of_documents(subject: Callable[..., Subject]) -> None:
    """With its figures as plain values."""
    bench = run(subject("Plain"))
    few, many = (case.as_row(0.36) for case in bench.cases)
    assert (few["documents"], many["documents"]) == (2, 3)
    assert few["runs"] == len(few["seconds"]) <= 6
    assert (many["tokens"], many["precision"], many["detail"]) == (30, "fp32", "plain")
    assert few["peak_bytes"] > 1e6
    assert few["cold_s"] >= few["import_s"] + few["open_s"] > 0
    assert few["usd_per_1000_queries"] == pytest.approx(0.1 * few["p50_s"], abs=1e-6)  # 1,000 x p50 of 0.36 an hour
    assert not bench.interrupted


def test_all_get_the_same_texts_and_others_in_each_turn(subject: Callable[..., Subject], tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    run(*(subject("Plain", asked=str(file)) for file in files), texts=built(), options=QUICK)
    one, two = (file.read_text().splitlines() for file in files)
    turns = min(len(one), len(two))
    assert one[:4] == two[:4]
    assert len(set(one)) == len(one)
    assert turns >= 2 * 2  # cold, warm-up and turns of either count


def test_a_batch_size_is_tuned(subject: Callable[..., Subject]) -> None:
    """The faster one is kept and named."""
    assert {case.opened.setting for case in run(subject("Tuned")).cases} == {"2"}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Refusing", "ValueError: these weights are not for me"),
        ("Dying", "died at 'score', exit code 3; it last wrote: no memory is left"),
        ("Silent", "no answer to 'score' within 30 s"),
    ],
)
def test_who_fails_says_why_and_stops_no_other(subject: Callable[..., Subject], kind: str, told: str) -> None:
    # Long enough for those that do answer to begin in, on any machine.
    options = Options(documents=(2, 3), repeats_max=2, cold_starts=2, timeout_s=30)
    bench = run(subject(kind), subject("Plain"), options=options)
    failed = [case for case in bench.cases if case.opened.subject.by == kind]
    assert [case.error for case in failed] == [told, told]
    assert all(case.seconds for case in bench.cases if case.opened.subject.by == "Plain")
    (line,) = failures(result_of(bench, price_hour=None, threads=None))
    assert line == f"fake by {kind}, 2 and 3 documents: {told}."


def test_what_fails_with_many_is_measured_with_few(subject: Callable[..., Subject]) -> None:
    few, many = run(subject("Failing")).cases
    assert few.seconds
    assert many.error == "RuntimeError: too many for me"


def test_a_call_that_would_take_too_long_is_left_out(subject: Callable[..., Subject]) -> None:
    """As foretold by fewer documents."""
    options = Options(documents=(1, 1000), repeats_max=2, cold_starts=1, case_s_max=10, timeout_s=120)
    one, many = run(subject("Slow"), options=options).cases
    assert one.seconds
    assert many.seconds == []
    assert many.error == "a call would take about 50 s, more than 10"


def test_what_was_measured_is_there_after_an_interruption(subject: Callable[..., Subject]) -> None:
    def interrupt(step: Step) -> None:
        if "3 documents, turn 2" in step.text:
            raise KeyboardInterrupt

    bench = Bench(TEXTS, QUICK, interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run([Group("fake", "nowhere", (subject("Plain"),))])
    assert [(case.documents, len(case.seconds) > 0) for case in bench.cases] == [(2, True), (3, True)]
    assert bench.interrupted


def test_a_worker_is_stopped_while_nobody_asks(subject: Callable[..., Subject], tmp_path: Path) -> None:
    """And answers again when it is asked; it ends with its owner."""
    plain = subject("Plain")
    with Worker({**os.environ}, tmp_path / "log") as worker:
        worker.ask({"op": "open", "runner": plain.runner, "options": {}}, timeout_s=120)
        assert os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT) is not None
        assert worker.ask({"op": "score", "pairs": [["a", "b"]]}, timeout_s=120)["scores"] == [0.0]
        with pytest.raises(WorkerError, match="KeyError"):
            worker.ask({"op": "nothing"}, timeout_s=120)
        assert worker.alive
    assert not worker.alive


def test_the_engine_itself_is_measured(checkpoint: Callable[..., Path]) -> None:
    """A folder; with the tokens that its tokenizer makes, and what it ran on."""
    folder = checkpoint("bert")
    bench = Bench(TEXTS, QUICK)
    bench.run(groups(Wanted(models=(str(folder),), shapes=(), peers=False, precisions=("fp32",))))
    row = bench.cases[1].as_row(None)
    assert (row["model"], row["weights"], row["by"], row["precision"]) == (folder.name, "its own", "crossrank", "fp32")
    with Reranker(str(folder), cache=None, precision="fp32") as reranker:
        query, texts = TEXTS.turn(3, 0)[0][0], [text for _, text in TEXTS.turn(3, 0)]
        assert row["detail"] == f"native/{reranker.facts.detail}"
        assert reranker.rank(query, texts).usage["tokens"] in bench.cases[1].tokens


def test_every_precision_is_a_subject_of_its_own() -> None:
    (group,) = groups(Wanted(shapes=(), peers=False, precisions=("all", "fp32"), devices=("cpu",)))
    labels = [subject.label for subject in group.subjects]
    assert "cpu fp32" in labels
    assert len(set(labels)) == len(labels)


def test_shapes_have_the_dimensions_of_the_models_they_stand_for(tmp_path: Path) -> None:
    """Seen on the tiny one: its checkpoint opens, reads 512 tokens and cuts words as the bundled model does."""
    write_shape(TINY, tmp_path)
    profile = read_profile(tmp_path, "tiny")
    assert (profile.hidden, profile.layers, profile.heads) == (TINY.hidden, TINY.layers, TINY.heads)
    with Reranker(str(tmp_path), cache=None) as reranker:
        assert reranker.rank("who", ["Guido van Rossum"]).usage["tokens"] == 3 + 1 + 4
    parameters = {name: shape.vocabulary * shape.hidden for name, shape in SHAPES.items()}
    assert parameters["MiniLM-L6"] == 11_720_448
    assert parameters["bge-large"] == 256_002_048


def test_a_shape_that_cannot_be_written_says_so(
    subject: Callable[..., Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk; what else there is to measure is measured."""

    def lose_the_disk(step: Step) -> None:
        if "writing" in step.text:
            monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))

    plain, bench = subject("Plain"), Bench(TEXTS, QUICK, lose_the_disk)
    bench.run([Group("fake", "nowhere", (plain,)), Group("huge", TINY, (plain,))])
    assert all(case.seconds for case in bench.cases[:2])
    assert all(case.error.startswith("its checkpoint cannot be written: ") for case in bench.cases[2:])
    assert not bench.interrupted


def test_built_texts_are_the_same_each_time_and_as_long_as_said() -> None:
    one, other = built(20), built(20)
    assert one.turn(5, 3) == other.turn(5, 3) != one.turn(5, 4)
    assert one.words == pytest.approx(20, rel=0.05)


def test_no_text_comes_twice_in_a_turn() -> None:
    """Where there are too few, they come again with a number: equal pairs would be scored once."""
    assert sorted(text for _, text in TEXTS.turn(6, 0)) == sorted({text for _, text in TEXTS.turn(6, 0)})
    assert {text[:-2] for _, text in TEXTS.turn(8, 0) if text.endswith(" 2")} == set(TEXTS.documents)
    assert len({text for _, text in built().turn(5000, 0)}) == 5000


def test_texts_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "title": "A", "text": "b"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "c"}\n')
    (pair,) = of_folder(tmp_path).turn(1, 0)
    assert pair[0] == "c"
    assert pair[1].split() == ["A", "b"]


def test_a_result_is_read_as_it_was_written(subject: Callable[..., Subject], tmp_path: Path) -> None:
    """And shown: a row a case, and the quoted figures with source and date."""
    result = result_of(run(subject("Plain")), price_hour=1.0, threads=2)
    write_result(result, tmp_path / "bench.json")
    assert read_result(tmp_path / "bench.json") == result
    table = measured_table(result)
    assert table is not None
    assert len(table.rows) == 2
    for row in quoted_table(result).rows:
        assert row[-1].startswith("20")
        assert row[-2]
    assert "| fake | Plain | cpu | fp32 | 2 |" in as_markdown(result)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 99}'])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(InputFileError, match=r"file\.json"):
        read_result(tmp_path / "file.json")


@pytest.mark.parametrize("given", [{"documents": ()}, {"repeats_max": 0}, {"case_s_max": 0}, {"documents": (0, 5)}])
def test_what_would_measure_nothing_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Options(**given)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="there are MiniLM-L6"):
        groups(Wanted(shapes=("mini",)))
