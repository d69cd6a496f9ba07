"""The score cache in a file: what it refuses, what it survives, and how it stays small."""

import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.engine.cache import cache_key
from crossrank.engine.cache.sqlite import BUSY_S, ENTRY_BYTES, EVICTED_MIN, SqliteCache
from crossrank.engine.pair import Pair, Scored
from crossrank.errors import UsageError
from disks import full_disk

QUERY, DOCUMENTS = "quick fox", ["The quick brown fox.", "Zebras jump.", "The lazy dog.", "Monty Python."]
KILLED_ROUNDS = 50


def scored(number: int) -> Scored:
    return Scored(number / 7, number, truncated=number % 2 == 1, passage=(number, number + 9), cost=12)


def key(number: int) -> bytes:
    return cache_key(b"model", Pair("query", str(number)))


def some(start: int, stop: int) -> dict[bytes, Scored]:
    return {key(i): scored(i) for i in range(start, stop)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scores.db"


@pytest.fixture
def opens(file: Path) -> Iterator[Callable[..., SqliteCache]]:
    """Opens the file, and closes what it has opened."""
    opened: list[SqliteCache] = []

    def open_(**options: int) -> SqliteCache:
        opened.append(SqliteCache(file, **options))
        return opened[-1]

    yield open_
    for cache in opened:
        cache.close()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be made, for root neither."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield Path("/proc")
        return
    yield folder
    subprocess.run(["umount", folder], check=True)


def check_that_nothing_is_lost(spec: str, folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Three calls give the scores of no cache and log one warning, which is returned."""
    with Reranker(str(folder), cache=None) as plain:
        expected = plain.rank(QUERY, DOCUMENTS).scores
    with caplog.at_level(logging.WARNING), Reranker(str(folder), cache=spec) as reranker:
        assert [reranker.rank(QUERY, DOCUMENTS).scores for _ in range(3)] == [expected] * 3
    (warning,) = [record.getMessage() for record in caplog.records if "the score cache" in record.getMessage()]
    return warning


# ---- what is no cache file


@pytest.mark.parametrize("content", [b"x", b"query,document,score\n" * 100, bytes(4096)])
def test_a_file_that_is_not_sqlite_is_an_error(content: bytes, file: Path) -> None:
    """It is named, and stays as it was."""
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"scores.db' is not a SQLite file; name another, or remove it"):
        Reranker(cache=f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_file_of_another_program_is_an_error(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE scores (name TEXT)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(UsageError, match="a SQLite file of something else"):
        SqliteCache(file)
    assert file.read_bytes() == before


def test_a_file_of_a_newer_version_is_an_error(file: Path, opens: Callable[..., SqliteCache]) -> None:
    opens().close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match=r"made by a newer crossrank \(layout 99\); name another"):
        SqliteCache(file)


def test_a_file_of_an_older_version_starts_anew(file: Path, opens: Callable[..., SqliteCache]) -> None:
    cache = opens()
    cache.put_many(some(0, 5))
    cache.close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    assert cache.get_many(list(some(0, 5))) == {}
    cache.put_many(some(0, 5))
    assert opens().get_many(list(some(0, 5))) == some(0, 5)


def test_an_empty_file_is_taken(file: Path, opens: Callable[..., SqliteCache]) -> None:
    """As mktemp makes one."""
    file.touch()
    cache = opens()
    cache.put_many(some(0, 1))
    assert cache.get_many([key(0)]) == some(0, 1)


def test_records_of_others_are_not_believed(file: Path, opens: Callable[..., SqliteCache]) -> None:
    """Of another length, of another key, of another type; the good ones beside them are."""
    cache = opens()
    cache.put_many(some(0, 6))
    cache.close()
    connection = sqlite3.connect(file)
    for number, record in [
        (0, "x'00'"),
        (1, "'text'"),
        (2, "7"),
        (3, f"(SELECT record FROM scores WHERE key = x'{key(4).hex()}')"),
    ]:
        connection.execute(f"UPDATE scores SET record = {record} WHERE key = ?", (key(number),))
    connection.commit()
    connection.close()
    assert cache.get_many(list(some(0, 6))) == some(4, 6)
    cache.put_many(some(0, 4))
    assert cache.get_many(list(some(0, 6))) == some(0, 6)


# ---- what happens to a file in use


def test_a_read_only_folder(read_only: Path, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    """No cache, and one warning that names the file."""
    warning = check_that_nothing_is_lost(f"sqlite:///{read_only}/scores.db", checkpoint("bert"), caplog)
    assert "scores.db" in warning
    assert "unable to open database file" in warning


def test_a_full_disk(
    file: Path, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture, opens: Callable[..., SqliteCache]
) -> None:
    """No cache, and one warning; what was stored before is still there, and with room again it goes on."""
    cache = opens()
    cache.put_many(some(0, 100))
    folder = checkpoint("bert")
    with full_disk(20_000):
        with pytest.raises(sqlite3.OperationalError):
            cache.put_many(some(100, 2_000))
        assert "Error" in check_that_nothing_is_lost(f"sqlite:///{file}", folder, caplog)
    assert cache.get_many(list(some(0, 2_000))) == some(0, 100)
    cache.put_many(some(100, 2_000))
    assert cache.get_many(list(some(0, 2_000))) == some(0, 2_000)


def test_a_damaged_file(
    file: Path, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture, opens: Callable[..., SqliteCache]
) -> None:
    """Pages of noise behind a sound beginning: no score out of it is wrong, none is lost."""
    with Reranker(str(checkpoint("bert")), cache=f"sqlite:///{file}") as reranker:
        reranker.rank(QUERY, DOCUMENTS)
    cache = opens()
    cache.put_many(some(0, 3_000))
    cache.close()
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(random.Random(0).randbytes(file.stat().st_size - 4096))
    assert "malformed" in check_that_nothing_is_lost(f"sqlite:///{file}", checkpoint("bert"), caplog)


def test_a_file_that_is_busy_is_not_waited_for(
    file: Path, checkpoint: Callable[..., Path], caplog: pytest.LogCaptureFixture, opens: Callable[..., SqliteCache]
) -> None:
    """Somebody writes for long: the call waits a second once, and the others not at all."""
    opens().put_many(some(0, 5))
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        started = time.monotonic()
        warning = check_that_nothing_is_lost(f"sqlite:///{file}", checkpoint("bert"), caplog)
        assert "database is locked" in warning
        assert time.monotonic() - started > BUSY_S * 0.9
        assert opens().get_many([key(1)]) == some(1, 2)  # who only reads does not wait
    finally:
        writer.close()


def test_a_file_that_is_removed(file: Path, checkpoint: Callable[..., Path], opens: Callable[..., SqliteCache]) -> None:
    """Who has it open goes on with it; who opens it next begins anew."""
    with Reranker(str(checkpoint("bert")), cache=f"sqlite:///{file}") as reranker:
        first = reranker.rank(QUERY, DOCUMENTS)
        for path in file.parent.glob("scores.db*"):
            path.unlink()
        assert reranker.rank(QUERY, DOCUMENTS).scores == first.scores
        cache = opens()
        cache.put_many(some(0, 5))
        assert reranker.rank(QUERY, DOCUMENTS).scores == first.scores
        assert cache.get_many(list(some(0, 5))) == some(0, 5)


# ---- size


def test_the_oldest_make_room(opens: Callable[..., SqliteCache]) -> None:
    """Never more than the bound; the newest are there."""
    most = 2_000
    cache = opens(bytes_max=most * ENTRY_BYTES)
    for start in range(0, 9_000, 300):
        cache.put_many(some(start, start + 300))
        present = cache.get_many(list(some(0, start + 300)))
        assert len(present) <= most
        assert present.items() >= some(start, start + 300).items()
        assert present == some(start + 300 - len(present), start + 300)
    assert len(present) >= most - EVICTED_MIN


def test_a_bound_smaller_than_a_call(opens: Callable[..., SqliteCache]) -> None:
    """A few of the newest stay."""
    cache = opens(bytes_max=10 * ENTRY_BYTES)
    cache.put_many(some(0, 100))
    cache.put_many(some(100, 200))
    present = cache.get_many(list(some(0, 200)))
    assert 5 <= len(present) <= 10
    assert present.items() <= some(190, 200).items()


def test_a_file_takes_the_bytes_that_are_reckoned(file: Path, opens: Callable[..., SqliteCache]) -> None:
    """With the index, when it has been full and turned over for long."""
    most = 4_000
    cache = opens(bytes_max=most * ENTRY_BYTES)
    for start in range(0, 20_000, 500):
        cache.put_many(some(start, start + 500))
    cache.close()
    assert file.stat().st_size <= most * ENTRY_BYTES
    assert not list(file.parent.glob("scores.db-*"))


# ---- many processes

WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from busy import patiently
from test_cache_sqlite import SqliteCache, some
cache, start = SqliteCache(sys.argv[1], bytes_max=int(sys.argv[4])), int(sys.argv[2])
print("ready", flush=True)
for i in range(start, start + int(sys.argv[5]), 40):
    patiently(lambda: cache.put_many(some(i, i + 40)))
    assert patiently(lambda: cache.get_many(list(some(i, i + 40)))).items() <= some(i, i + 40).items()
"""


def writer(file: Path, start: int, *, bytes_max: int = 2**30, count: int = 10**9) -> "subprocess.Popen[str]":
    """A process that stores scores, from `start` on."""
    arguments = [str(file), str(start), str(Path(__file__).parent), str(bytes_max), str(count)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)


def test_processes_share_a_file(file: Path, opens: Callable[..., SqliteCache]) -> None:
    """Opened and written by several at once, none having been there before."""
    processes = [writer(file, 10_000 * i, count=2_000) for i in range(4)]
    try:
        assert [process.communicate(timeout=240)[0] and process.returncode for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    cache = opens()
    for i in range(4):
        assert cache.get_many(list(some(10_000 * i, 10_000 * i + 2_000))) == some(10_000 * i, 10_000 * i + 2_000)


def killed(file: Path, delay_s: float) -> None:
    """Two processes write, and are killed; then the file is sound, and each score the right one."""
    cache = SqliteCache(file)
    cache.put_many(some(0, 40))  # they may be killed before they have stored anything
    cache.close()
    processes = [writer(file, start, bytes_max=3_000 * ENTRY_BYTES) for start in (0, 50_000)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        time.sleep(delay_s)
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM scores").fetchone()[0] > 0
    connection.close()
    cache = SqliteCache(file)
    for start in (0, 50_000):
        expected = some(start, start + 5_000)
        assert cache.get_many(list(expected)).items() <= expected.items()
    cache.close()


def test_a_killed_writer_leaves_a_sound_file(file: Path) -> None:
    killed(file, 0.0)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_killed_writers_leave_a_sound_file(file: Path) -> None:
    """In 50 rounds, at any moment of a write; the file stays the same one."""
    choose = random.Random(7)
    for _ in range(KILLED_ROUNDS):
        killed(file, choose.uniform(0.0, 0.4))
