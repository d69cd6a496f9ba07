"""What an evaluation says: in sentences, JSON, Markdown, files and pictures."""

import builtins
import json
from pathlib import Path

import pytest

from crossrank.collection import Collection, Run, read_run
from crossrank.errors import MissingExtra, UsageError
from crossrank.evaluate.evaluate import evaluate
from crossrank.evaluate.export import as_dict, as_json, write_files
from crossrank.evaluate.folder import file_names
from crossrank.evaluate.plot import pareto, write_plots
from crossrank.evaluate.report import as_markdown, method, sentences, title
from crossrank.evaluate.result import Evaluation
from pets import QUERIES, Fake, evaluated, in_their_own_order, pets_collection

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def pets() -> Collection:
    return pets_collection()


@pytest.fixture(scope="module")
def run(pets: Collection) -> Run:
    return in_their_own_order(pets)


@pytest.fixture(scope="module")
def evaluation(pets: Collection, run: Run) -> Evaluation:
    return evaluated(pets, run)


def test_sentences_are_plain(evaluation: Evaluation) -> None:
    """Better, worse, or no difference that could not be chance; each measure that gets worse is named."""
    good, *bad, idle = sentences(evaluation)
    assert good.startswith("good is significantly better than search in nDCG@10 (+0.")
    assert [line.partition(" (")[0] for line in bad] == [
        f"Reranking hurts on this set: bad is significantly worse than search in {measure}"
        for measure in ("nDCG@10", "MRR@10")
    ]
    assert idle.startswith("idle/one: no significant difference to search in nDCG@10 (+0.000, 95 % interval")
    assert idle.endswith("p = 1.000).")
    assert method(evaluation).endswith("Holm-corrected for 4 comparisons.")


def test_json_holds_every_figure(evaluation: Evaluation) -> None:
    """By row, measure and query, with a version; it is valid JSON without NaN."""
    document = json.loads(as_json(evaluation), parse_constant=pytest.fail)
    assert document == json.loads(json.dumps(as_dict(evaluation)))
    assert document["schema_version"] == 1
    assert document["queries"] == QUERIES
    good = document["rows"][2]
    assert good["scores"]["nDCG@10"]["comparison"].keys() == {
        *("difference", "interval", "p", "p_corrected", "wins", "ties", "losses")
    }
    assert len(good["scores"]["nDCG@10"]["queries"]) == QUERIES
    assert good["speed"]["documents_per_query"] == 10


def test_markdown_has_a_table_for_each_measure(evaluation: Evaluation) -> None:
    """And one of times; every line of a table has as many cells as its heading."""
    text = as_markdown(evaluation)
    assert text.startswith(f"# {title(evaluation)}\n")
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert [table[0].split(" | ")[0] for table in tables] == ["| nDCG@10", "| MRR@10", "| R@10", "| time"]
    assert all(len({line.count(" | ") for line in table}) == 1 for table in tables)


def test_files_are_written(evaluation: Evaluation, tmp_path: Path) -> None:
    """A run that is read back is the row's; names of models become names of files."""
    files = write_files(evaluation, tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        *("evaluation.json", "report.md", "runs/good.trec", "runs/bad.trec", "runs/idle_one.trec")
    ]
    assert read_run(tmp_path / "runs" / "good.trec") == evaluation.row("good").run
    assert (tmp_path / "report.md").read_text() == as_markdown(evaluation)
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_files(evaluation, tmp_path / "taken")


def test_names_of_files_are_unique_and_harmless() -> None:
    """Whatever a model is called."""
    assert file_names(["a/b", "a b", "../../x", "..", "ü.v2"]) == ["a_b", "a_b_1", "x", "ranker", "ü.v2"]


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5)], [0]),
        ([(2, 0.6), (1, 0.5), (3, 0.55)], [1, 0]),
        ([(1, 0.5), (1, 0.6), (2, 0.6)], [1]),
        ([(3, 0.9), (2, 0.8), (1, 0.7)], [2, 1, 0]),
    ],
)
def test_the_pareto_front(points: list[tuple[float, float]], front: list[int]) -> None:
    """Those that nothing cheaper, or as cheap, equals or beats."""
    assert pareto(points) == front


def test_pictures_are_drawn(evaluation: Evaluation, pets: Collection, run: dict, tmp_path: Path) -> None:
    """Two PNG files, for one ranker and for several; none where no ranker is compared."""
    for number, found in enumerate([evaluation, evaluate({"good": Fake()}, pets, first_stage=run)]):
        files = write_plots(found, tmp_path / str(number))
        assert [file.name for file in files] == ["differences.png", "latency.png"]
        assert all(file.read_bytes().startswith(PNG) for file in files)
    assert write_plots(evaluate({}, pets, first_stage=run), tmp_path) == []


@pytest.mark.parametrize("library", ["matplotlib", "bm25s"])
def test_without_a_library_the_extra_is_named(
    pets: Collection, evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """The message holds the pip command."""
    load = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name.startswith(library):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=rf"{library} is not installed. Run: pip install 'crossrank\[eval\]'"):
        write_plots(evaluation, tmp_path) if library == "matplotlib" else evaluate({}, pets)


def test_many_queries_are_drawn_as_an_outline(evaluation: Evaluation, tmp_path: Path, monkeypatch: object) -> None:
    """Bars would be narrower than a dot."""
    monkeypatch.setattr("crossrank.evaluate.plot.BARS_MAX", 5)  # type: ignore[attr-defined]
    assert write_plots(evaluation, tmp_path)[0].read_bytes().startswith(PNG)
