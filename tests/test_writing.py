"""Files and folders are whole or not there, and a disk that refuses is no mistake of whoever chose the place."""

import errno
import os
import stat
from pathlib import Path

import pytest

from crossrank.errors import CrossrankError, UsageError
from crossrank.writing import is_partial, refused, unwritable, whole_file, whole_folder, write_whole


def half_a_file(file: Path) -> None:
    with whole_file(file) as partial:
        partial.write_text("half")
        assert is_partial(partial)
        raise ZeroDivisionError


def half_a_folder(folder: Path) -> None:
    with whole_folder(folder) as partial:
        (partial / "half").touch()
        raise ZeroDivisionError


def test_half_is_nothing(tmp_path: Path) -> None:
    """What was there stays; nothing half-written does."""
    with pytest.raises(ZeroDivisionError):
        half_a_file(tmp_path / "new")
    write_whole(tmp_path / "old", "as it was")
    with pytest.raises(ZeroDivisionError):
        half_a_file(tmp_path / "old")
    with pytest.raises(ZeroDivisionError):
        half_a_folder(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "as it was"


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    """Of an old one, and of the half of one that a killed process left, nothing is in it."""
    for name in ("folder", ".folder.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").touch()
    with whole_folder(tmp_path / "folder") as partial:
        assert is_partial(partial)
        (partial / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["folder", "folder/new"]


def test_a_links_target_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    """A link stays a link; a file for one user stays for one user."""
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_device_is_written_to_as_it_is(tmp_path: Path) -> None:
    """`--out /dev/stdout`: what is no file is never replaced by one."""
    write_whole(Path(os.devnull), "gone")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "a folder")
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_called_as_it_was_asked_for(tmp_path: Path) -> None:
    """The error of a folder that is not there names the file, not its half."""
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(tmp_path / "none" / "file", "")
    assert caught.value.filename == str(tmp_path / "none" / "file")


@pytest.mark.parametrize(
    ("exc", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("[enforce fail at inline_container.cc:664] PytorchStreamWriter failed writing file"), True),
        (ValueError("no number"), False),
    ],
)
def test_whose_fault_it_is(exc: Exception, told: bool) -> None:
    """A full disk is the world's failure, in a library's own words too; a wrong place is the caller's mistake."""
    assert refused(exc) is told
    error = unwritable(Path("x"), exc, left="Make room.", remedy="Give another.")
    assert isinstance(error, CrossrankError)
    assert isinstance(error, UsageError) is not told
    assert str(error).endswith("Make room." if told else "Give another.")
