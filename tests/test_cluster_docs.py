"""docs/cluster.md is true: its files, its five lines and its command work, and its names and numbers are the code's."""

import re
from functools import partial
from pathlib import Path

import pytest

from crossrank.cli.main import cli, run
from crossrank.cluster.columns import USUAL
from crossrank.cluster.partition import POISON, SCORES
from crossrank.cluster.plan import PARTITION_ROWS_MAX
from crossrank.cluster.run import CPUS_MAX, STALL_S
from crossrank.cluster.session import JOINED_S, PLACED_S
from crossrank.cluster.tables import ENDINGS, PACKED

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "cluster.md").read_text(encoding="utf-8")
LINE = " ".join(TEXT.split())


@pytest.mark.scale
@pytest.mark.timeout(600)
def test_the_five_lines_and_the_command_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the page's files, on Ray of this machine, with what the page says they print."""
    monkeypatch.chdir(tmp_path)
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE):
        Path(name).write_text(content, encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(block.split("\n\n")[0].splitlines() + block.split("\n\n")[1].splitlines()) <= 5
    exec(compile(block, "docs/cluster.md", "exec"), {})
    best = [{"query_id": "q1", "document_id": "d1", "rank": 1}, {"query_id": "q2", "document_id": "d3", "rank": 1}]
    assert capsys.readouterr().out == f"{best}\n"
    ((command, printed),) = re.findall(r"\$ crossrank (.*)\n((?:.*\n)*?)```", TEXT)
    assert run(partial(cli.main, command.split(), standalone_mode=False)) == 0
    assert capsys.readouterr() == ("", printed)


def test_names_are_those_of_the_code() -> None:
    """Columns, endings and reasons."""
    for name in (*SCORES, *POISON, *(set(ENDINGS) - set(PACKED))):
        assert f"`{name}`" in TEXT, name
    for usual in (name for roles in USUAL.values() for names in roles.values() for name in names):
        assert f"`{usual}`" in TEXT or usual in ("query-id", "corpus-id"), usual
    folder = Path(__file__).resolve().parent.parent / "src" / "crossrank" / "cluster"
    code = "".join((folder / f"{name}.py").read_text() for name in ("partition", "texts"))
    (told,) = re.findall(r"Reasons: (.*?)\. A job", LINE)
    for reason in re.findall(r"`(\w+)`", told):
        assert f'"{reason}"' in code, reason


def test_numbers_are_those_of_the_code() -> None:
    """Those that the page states."""
    assert f"up to {PARTITION_ROWS_MAX:,} neighbouring rows" in LINE
    assert f"at most {CPUS_MAX}; these are its threads" in LINE
    assert f"after {JOINED_S:.0f} seconds" in LINE
    assert f"after {PLACED_S:.0f} seconds" in LINE
    assert STALL_S == 3_600
