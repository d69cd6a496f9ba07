"""docs/caching.md is true: its examples run, and its numbers are those of the code."""

import re
from pathlib import Path

import pytest

from crossrank.engine.cache import memory, sqlite
from crossrank.engine.cache.guard import RETRY_AFTER_S
from crossrank.engine.cache.redis import PREFIX, TIMEOUT_S
from crossrank.engine.encode import REMEMBERED_BYTES
from redis_server import RedisServer

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "caching.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, in one session, each line printing what its comment says; that of Redis has a test of its own."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = [block for block in BLOCKS if "redis://" not in block]
    for block in blocks:
        exec(compile(block, "docs/caching.md", "exec"), names)
    assert len(blocks) == len(BLOCKS) - 1 == 5
    assert capsys.readouterr().out.splitlines() == [
        "3 1",
        "3",
        "3 3",
        "cache: there is no folder '/no/such/folder'; make it, or name another file",
        "Guido van Rossum created the Python programming language in 1991.",
        "Python is a snake that kills by constriction.",
    ]
    assert (tmp_path / "scores.db").exists()


def test_the_example_of_redis_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Against a real server."""
    (block,) = [block for block in BLOCKS if "redis://" in block]
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    with RedisServer(tmp_path) as server:
        block = block.replace("localhost:6379", f"127.0.0.1:{server.port}").replace("?", "?timeout_s=60&")
        exec(block, names)
    assert [record for record in caplog.records if record.name.startswith(("crossrank", "redis"))] == []


def test_numbers_are_those_of_the_code() -> None:
    """Those that the page states."""
    assert memory.BYTES_MAX == 32 * 2**20
    assert f"32 MiB and {memory.ENTRIES_MAX:,} scores" in TEXT
    assert sqlite.BYTES_MAX == 2**30
    assert "`bytes_max`, 1 GiB" in TEXT
    assert sqlite.BUSY_S == 1.0
    assert f"`timeout_s`, {TIMEOUT_S} by default" in TEXT
    assert f"tried again every {RETRY_AFTER_S:.0f} seconds" in TEXT
    assert f"Keys begin with `{PREFIX.decode()}`" in TEXT
    assert REMEMBERED_BYTES == 64 * 2**20
    assert "up to 64 MiB" in TEXT
