"""`crossrank models list`, `models info` and `crossrank doctor`, offline; models that cannot be scored."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crossrank.checkpoint.catalogue import CATALOGUE, MINI
from crossrank.cli.facts import print_columns, say
from crossrank.cli.main import cli, run
from crossrank.machine import usable_cores


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache of the hub, and no way to the hub itself."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.utils._cache_manager.HF_HUB_CACHE"):
        monkeypatch.setattr(name, str(tmp_path / "hub"), raising=False)


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(lambda: cli.main([*map(str, arguments)], standalone_mode=False)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


def test_list_shows_every_known_model(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a model after the headings; the bundled one comes first and is here."""
    heading, bundled, *others = output(capsys, "models", "list").splitlines()
    shown = "model family params max length languages licence engines verified here"
    assert heading.split() == shown.split()
    name, family, *_, native, torch, _verified, here = bundled.split()
    assert (name, family, native, torch, here) == ("crossrank-mini", "bert", "native,", "torch", "yes")
    assert [line.split()[0] for line in others] == [model.name for model in CATALOGUE]


def test_the_bundled_model_is_what_the_catalogue_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Its row is written down; its files say the same."""
    facts = json.loads(output(capsys, "models", "info", "--json"))
    known = (MINI.name, MINI.family, MINI.parameters_m, MINI.max_length)
    assert (facts["name"], facts["family"], facts["parameters_m"], facts["max_length"]) == known


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json gives the same facts as numbers and truth values, under a version."""
    document = json.loads(output(capsys, "models", "list", "--json"))
    assert document["schema_version"] == 1
    assert [model["name"] for model in document["models"] if model["here"]] == ["crossrank-mini"]
    assert all(isinstance(model["parameters_m"], float) for model in document["models"])


def test_a_download_without_weights_is_not_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A model counts as here when its weights are; a download that was broken off does not."""
    for model, file in zip(CATALOGUE, ("model.safetensors", "config.json"), strict=False):
        folder = tmp_path / "hub" / f"models--{model.name.replace('/', '--')}" / "snapshots" / ("a" * 40)
        folder.mkdir(parents=True)
        (folder / file).write_text("{}")
    models = json.loads(output(capsys, "models", "list", "--json"))["models"]
    assert [model["name"] for model in models if model["here"]] == ["crossrank-mini", CATALOGUE[0].name]


def test_columns_of_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Expendable columns go one after the other until the table fits; in a pipe all stay. Numbers are to the right."""
    rows = [("name", "1", "x" * 20), ("longer name", "22", "y")]
    print_columns(("model", "n", "languages"), rows, expendable=("languages", "n"))
    assert capsys.readouterr().out.splitlines()[1:] == [f"name          1  {'x' * 20}", "longer name  22  y"]
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_columns(("model", "n", "languages"), rows, expendable=("languages", "n"))
    assert capsys.readouterr().out.splitlines() == ["model         n", "name          1", "longer name  22"]


def test_a_terminal_that_is_too_narrow_for_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row takes several lines: its name, then what the headings say of it; empty cells are left out."""
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = [("1", "a-long-name-of-a-model", "0.5", "passes"), ("2", "other", "0.25", "")]
    print_columns(("#", "model", "quality", "gate"), rows, expendable=())
    assert capsys.readouterr().out.splitlines() == [
        "#  model",
        "1  a-long-name-of-a-model",
        "    quality 0.5, gate",
        "    passes",
        "2  other",
        "    quality 0.25",
    ]


def test_sentences_break_between_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, under their indent; in a pipe a line stays one."""
    say("one two\n\n  three four five")
    assert capsys.readouterr().out == "one two\n\n  three four five\n"
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say("one two\n\n  three four five")
    assert capsys.readouterr().out == "one two\n\n  three four\n  five\n"


def test_info_of_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name it describes the bundled model, in words and as JSON."""
    shown = dict(line.split("  ", 1) for line in output(capsys, "models", "info").splitlines())
    assert {name: value.strip() for name, value in shown.items()}["parameters"] == "22.7 M"
    facts = json.loads(output(capsys, "models", "info", "--json"))
    assert facts["schema_version"] == 1
    assert (facts["name"], facts["family"], facts["max_length"]) == ("crossrank-mini", "bert", 256)
    assert facts["licence"] == "apache-2.0"


def test_info_of_a_folder(capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path]) -> None:
    """A folder is described from its files."""
    facts = json.loads(output(capsys, "models", "info", checkpoint("xlm-roberta"), "--json"))
    assert (facts["family"], facts["layers"], facts["hidden"], facts["max_length"]) == ("xlm-roberta", 2, 24, 64)


def test_doctor_says_what_it_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The report names the machine's parts and the path the engine takes."""
    shown = dict(line.split("  ", 1) for line in output(capsys, "doctor").splitlines())
    assert shown["usable cores"].strip() == str(usable_cores())
    assert shown["path"].strip().startswith("native on cpu, ")
    assert {"processor", "memory", "cpu quota", "numa domains", "instruction sets", "gpus", "cache folder"} <= set(
        shown
    )


def test_doctor_as_json(capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path]) -> None:
    """--json gives numbers as numbers, and describes the model that was named."""
    facts = json.loads(output(capsys, "doctor", checkpoint("roberta"), "--json"))
    assert facts["schema_version"] == 1
    assert facts["family"] == "roberta"
    assert facts["memory_bytes"] is None or facts["memory_bytes"] > 0
    assert isinstance(facts["instruction_sets"], list)
    assert sum(map(len, facts["numa_domains"].values())) >= facts["usable_cores"]
    assert isinstance(facts["extras"], dict)
    assert all(" " not in name for name in facts)


@pytest.mark.parametrize("command", [["doctor"], ["models", "info"]])
def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    """A folder that does not exist is the caller's mistake; a hub that cannot be asked is not."""
    code, told = failure(capsys, *command, tmp_path / "none")
    assert (code, "does not exist" in told) == (2, True)
    code, told = failure(capsys, *command, "nobody/nothing")
    assert (code, "not in the local cache" in told) == (1, True)


def _corrupt(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def _without_head(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b'"classifier.weight"', b'"somewhere_else.ww"'))


def _edit(folder: Path, old: str, new: str) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace(old, new))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "corrupt": _corrupt,
    "classifier": _without_head,
    "labels": lambda folder: _edit(folder, '"LABEL_0"\n', '"refutes", "1": "supports"\n'),
    "contradict its config.json": lambda folder: _edit(folder, '"intermediate_size": 48', '"intermediate_size": 40'),
    "no reranking head": lambda folder: _edit(folder, "BertForSequenceClassification", "BertModel"),
    "hidden_size": lambda folder: _edit(folder, '"hidden_size": 24', '"hidden_size": "x"'),
    "config.json cannot be read": lambda folder: _edit(folder, "{", ""),
    "has no config.json": lambda folder: (folder / "config.json").unlink(),
    "has no model.safetensors": lambda folder: (folder / "model.safetensors").unlink(),
    "tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}") and None,
}


@pytest.mark.parametrize("told", DAMAGES)
def test_a_model_that_cannot_be_scored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Callable[..., Path], told: str
) -> None:
    """A folder whose model is corrupt, has no head or another one is the caller's mistake: one line, exit code 2."""
    folder = Path(shutil.copytree(checkpoint(), tmp_path / "model"))
    DAMAGES[told](folder)
    (tmp_path / "a.txt").write_text("one\n")
    for arguments in (["rank", "q", tmp_path / "a.txt", "--model", folder], ["doctor", folder]):
        code, err = failure(capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert told in err


def test_the_page_of_models_is_the_catalogues() -> None:
    """docs/models.md says what `make verify-models` would write."""
    root = Path(__file__).parent.parent
    loaded = importlib.util.spec_from_file_location("verify_models", root / "scripts" / "verify_models.py")
    assert loaded is not None
    assert loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    assert (root / "docs" / "models.md").read_text(encoding="utf-8") == module.page()
    assert "not yet" in module.page()


def test_a_model_that_differs_from_what_was_verified_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model was verified; with other figures on record it is opened with a warning."""
    from crossrank.checkpoint import catalogue
    from crossrank.engine.open import open_scorer
    from crossrank.engine.options import OpenConfig
    from crossrank.engine.selftest import self_test

    known = catalogue.golden("crossrank-mini")
    assert known is not None
    scorer = open_scorer(OpenConfig(precision="fp32", self_test=False))
    assert self_test(scorer).doubts == ()
    monkeypatch.setitem(catalogue.read_golden(), "crossrank-mini", replace(known, logits=(0.0,) * 4))
    assert "another revision" in self_test(scorer).doubts[0]
