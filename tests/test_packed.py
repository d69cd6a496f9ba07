"""Weights as the engine packs them are kept in the cache folder, and are never those of another model."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.engine.packed import FILES_MAX, packed_file

QUERY, TEXTS = "how tall is the tower", ["the tower is high", "a cat sat on the mat", "tower"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packed"


def logits(folder: Path, precision: str = "auto") -> list[float | None]:
    with Reranker(str(folder), precision=precision) as reranker:
        return [score.logit for score in reranker.rank(QUERY, TEXTS)]


def mapped(folder: Path) -> bool:
    with Reranker(str(folder)) as reranker:
        backend = reranker._engine.scorer.backend  # type: ignore[attr-defined]
        return bool(backend._encoder.mapped)


def test_the_second_opening_maps_what_the_first_packed(checkpoint: Callable[..., Path], cache: Path) -> None:
    folder = checkpoint("bert")
    assert not mapped(folder)
    assert len(list(cache.glob("*.weights"))) == 1
    first = logits(folder)
    assert mapped(folder)
    shutil.rmtree(cache)
    assert logits(folder) == first


def test_precisions_have_files_of_their_own(checkpoint: Callable[..., Path], cache: Path) -> None:
    folder = checkpoint("bert")
    first = logits(folder, "fp32")
    logits(folder, "int8")
    assert len(list(cache.glob("*.weights"))) == 2
    assert logits(folder, "fp32") == first


def test_a_model_that_is_replaced_is_packed_again(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Though its file keeps name, size and time of the last change."""
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "model")
    other = shutil.copytree(checkpoint("bert", seed=5), tmp_path / "other")
    before, wanted = logits(folder), logits(other)
    weights = folder / "model.safetensors"
    times = weights.stat()
    shutil.copyfile(other / "model.safetensors", weights)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights.stat().st_size == times.st_size
    assert logits(folder) == wanted != before


@pytest.mark.parametrize("content", [b"", b"x" * 64, None])
def test_a_damaged_file_is_made_anew(content: bytes | None, checkpoint: Callable[..., Path], cache: Path) -> None:
    folder = checkpoint("bert")
    first = logits(folder)
    (file,) = cache.glob("*.weights")
    whole = file.read_bytes()
    file.write_bytes(whole[:-64] if content is None else content)
    assert logits(folder) == first
    assert file.read_bytes() == whole


@pytest.mark.parametrize(("place", "more"), [(128, 1 << 63), (192, 1 << 63), (64, 7)])
def test_a_table_that_cannot_be_is_made_anew(
    place: int, more: int, checkpoint: Callable[..., Path], cache: Path
) -> None:
    """Rows or columns whose bytes wrap around to the right number, and an unknown type: no read beyond the file."""
    folder = checkpoint("bert")
    first = logits(folder)
    (file,) = cache.glob("*.weights")
    whole = file.read_bytes()
    number = int.from_bytes(whole[place : place + 8], "little") + more
    file.write_bytes(whole[:place] + number.to_bytes(8, "little") + whole[place + 8 :])
    assert logits(folder) == first
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_changes_nothing(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("bert")
    first = logits(folder)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "file" / "cache"))
    assert logits(folder) == first


def test_what_was_not_used_for_longest_is_forgotten(
    tmp_path: Path, checkpoint: Callable[..., Path], cache: Path
) -> None:
    cache.mkdir(parents=True)
    now = time.time()
    for age in range(FILES_MAX + 3):
        (cache / f"{age}.weights").touch()
        os.utime(cache / f"{age}.weights", (now - 60 * age - 60,) * 2)
    logits(checkpoint("bert"))
    kept = {file.stem for file in cache.glob("*.weights")}
    assert len(kept) == FILES_MAX
    assert {str(age) for age in range(FILES_MAX - 1)} < kept


def test_everything_that_the_bytes_depend_on_is_in_the_name(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    engine, other = tmp_path / "engine.so", tmp_path / "other.so"
    engine.touch()
    other.touch()
    bert, electra = checkpoint("bert"), checkpoint("electra")
    names = [
        packed_file(bert, engine, "avx2", "fp32"),
        packed_file(bert, engine, "avx2", "int8"),
        packed_file(bert, engine, "avx512", "fp32"),
        packed_file(bert, other, "avx2", "fp32"),
        packed_file(electra, engine, "avx2", "fp32"),
    ]
    assert len(set(names)) == len(names)
