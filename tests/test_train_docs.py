"""The worked example of docs/training.md runs as it stands there."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossrank.cli.group import cli
from crossrank.testing import tiny_checkpoint

pytest.importorskip("sentence_transformers")

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first block in that language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_worked_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tiny base instead of the bundled model; all else is what a reader would copy."""
    config = block("toml")
    assert '"crossrank-mini" ' in config
    (tmp_path / "config.toml").write_text(config.replace('"crossrank-mini"', '"tiny"'), encoding="utf-8")
    (tmp_path / "tickets.jsonl").write_text(block("json"), encoding="utf-8")
    tiny_checkpoint(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["train", "config.toml"])
    assert done.exit_code == 0, done.output
    exec(block("python"), {})
    assert capsys.readouterr().out in ("Choose Reset password.\n", "Invoices are under Billing.\n")


@pytest.mark.parametrize(
    "kind", ["beir", "triples", "pairs", "clicks", "cloze", "bce", "listwise", "lambda", "margin_mse", "kl"]
)
def test_every_source_and_loss_is_described(kind: str) -> None:
    assert f"| `{kind}` |" in PAGE
