"""What is written beside a user's own files is for that user alone, whatever the umask."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.calibration.store import beside, file_of_name
from crossrank.machine import cache_folder, make_private
from crossrank.retrieve.build import build
from crossrank.retrieve.contract import Passage
from crossrank.server.listen import listen
from crossrank.server.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """That of a careless service: new files are for all."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def test_the_cache_folder(checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed weights, which processes map, and digests: nobody else gets into the folder."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "home" / "cache"))
    with Reranker(str(checkpoint("bert")), cache=f"sqlite:///{tmp_path}/scores.db") as reranker:
        reranker.rank("fox", ["a fox", "a zebra"])
        made = [path for path in (tmp_path / "home").rglob("*") if path.is_dir()]
        assert {path.name for path in made} >= {"cache", "packed"}
        assert not [path for path in (tmp_path / "home", *made) if open_to_others(path)]
        databases = list(tmp_path.glob("scores.db*"))
        assert len(databases) == 3, "the file, its log and the log's index"
        assert not [path for path in databases if open_to_others(path)]
    assert cache_folder() == tmp_path / "home" / "cache"
    assert file_of_name("tickets").is_relative_to(tmp_path / "home")
    assert beside(tmp_path) == tmp_path / "calibration.json"


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    """Only what is made is made for one user; who shares a folder on purpose may."""
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private(tmp_path / "shared" / "a" / "b")
    assert [stat.S_IMODE((tmp_path / "shared" / part).stat().st_mode) for part in ("", "a", "a/b")] == [
        0o755,
        0o700,
        0o700,
    ]


def test_an_index_holds_the_corpus(tmp_path: Path) -> None:
    """So its folder is for the user alone."""
    pytest.importorskip("bm25s")
    build(tmp_path / "index", [Passage("a fox", "a fox", 1)], stamp={})
    assert not open_to_others(tmp_path / "index")


def test_a_socket_of_the_server(tmp_path: Path) -> None:
    """A Unix socket asks for no key by default, so it is never for all."""
    with listen(Settings(uds=str(tmp_path / "socket")), {}) as bound:
        assert bound.family == socket.AF_UNIX
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) & 0o007 == 0
