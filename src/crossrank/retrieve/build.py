"""Building an index on disk, incrementally: killed at any moment, the next build goes on from there.

    FOLDER/manifest.json      which generation counts; written last, in one step
    FOLDER/segments/*.npz     words of portions of the corpus, kept between builds
    FOLDER/GENERATION/        BM25's matrix, the passages and where each begins

It knows files and bm25s; not queries.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from crossrank.errors import IndexFolderError, UsageError
from crossrank.retrieve.contract import Passage
from crossrank.retrieve.segments import PORTION, digest_of, lines_of, read_segment, write_segment
from crossrank.retrieve.words import K1, B, bm25s
from crossrank.writing import is_partial, whole_folder, write_whole

FORMAT = 1  # of the folder; raised when an older one cannot be read any more
MANIFEST, SEGMENTS, PASSAGES, STARTS = "manifest.json", "segments", "passages.jsonl", "starts.npy"
LOCK = "lock"
GENERATION = re.compile(r"[0-9a-f]{32}")
Progress = Callable[[int], None]  # told how many passages more are ready


def build(
    folder: Path, passages: Iterable[Passage], *, stamp: Mapping[str, Any], progress: Progress | None = None
) -> None:
    """Make `folder` the index of these passages; portions that it has already are not read again.

    Args:
        folder: made if it does not exist.
        passages: the corpus, in order.
        stamp: what the corpus was when it was read, for `manifest_of`.
        progress: called after each portion with its size.

    Raises:
        IndexFolderError: the folder holds something else, cannot be written, or is being built by another process.
        UsageError: the corpus has no passages, or no words.
    """
    _check_ours(folder)
    try:
        _build(folder, passages, stamp, progress)
    except IndexFolderError:  # NOTE: is an OSError too
        raise
    except OSError as exc:
        raise IndexFolderError(
            f"The index {folder} cannot be written: {exc.strerror or exc}. Give another folder (--index, or "
            "CROSSRANK_CACHE for all that is kept), or make room; what was finished is gone on from."
        ) from exc


def _build(folder: Path, passages: Iterable[Passage], stamp: Mapping[str, Any], progress: Progress | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the corpus will lie in it
    (folder / SEGMENTS).mkdir(exist_ok=True)
    with _alone(folder):
        digests, kept = [], iter(passages)
        while portion := list(islice(kept, PORTION)):
            digest = digest_of(lines_of(portion))
            file = _segment(folder, digest)
            if read_segment(file) is None:
                write_segment(file, [passage.text for passage in portion])
            digests.append((digest, portion))
            if progress is not None:
                progress(len(portion))
        if not digests:
            raise UsageError("The corpus has no passages; there is nothing to search in.")
        generation = blake2b("".join(d for d, _ in digests).encode(), digest_size=16).hexdigest()
        if not (folder / generation).is_dir():
            with whole_folder(folder / generation) as part:
                _assemble(part, folder, digests)
        total = sum(len(portion) for _, portion in digests)
        manifest = {"format": FORMAT, "generation": generation, "passages": total, "stamp": dict(stamp)}
        write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))
        _tidy(folder, generation, {digest for digest, _ in digests})


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """What the folder's index is; None if there is none, or one that is not finished.

    Raises:
        IndexFolderError: it is of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, generation = manifest["format"], folder / str(manifest["generation"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if version != FORMAT:
        raise IndexFolderError(
            f"{folder} is an index of format {version}, and this crossrank reads {FORMAT}. Delete the folder; it is "
            "built again from the corpus."
        )
    ours = GENERATION.fullmatch(generation.name) and generation.parent == folder  # nothing outside of the folder
    return manifest if ours and (generation / STARTS).is_file() else None


def _assemble(part: Path, folder: Path, portions: Sequence[tuple[str, list[Passage]]]) -> None:
    vocabulary: dict[str, int] = {}
    ids: list[list[int]] = []
    starts = [0]
    with (part / PASSAGES).open("wb") as content:
        for digest, portion in portions:
            lines = lines_of(portion)
            content.writelines(lines)
            starts += map(len, lines)
            words, own, begins = read_segment(_segment(folder, digest)) or _lost(folder)
            everywhere = np.array([vocabulary.setdefault(word, len(vocabulary)) for word in words], np.int32)
            known = everywhere[own] if len(words) else own
            ids += [known[a:b].tolist() for a, b in pairwise(begins)]
    if not vocabulary:
        raise UsageError("The corpus has no words to search for.")
    index = bm25s("search").BM25(k1=K1, b=B, method="lucene", backend="numpy")
    index.index((ids, vocabulary), show_progress=False)
    index.save(str(part))
    np.save(part / STARTS, np.cumsum(starts).astype(np.int64))


def _segment(folder: Path, digest: str) -> Path:
    return folder / SEGMENTS / f"{digest}.npz"


def _lost(folder: Path) -> Any:
    raise IndexFolderError(f"{folder} was changed while it was built. Run it again.")


def _tidy(folder: Path, generation: str, segments: set[str]) -> None:
    """What no build needs any more, halves of killed ones too; whoever has an old generation open keeps it."""
    for file in (folder / SEGMENTS).iterdir():
        if file.name.removesuffix(".npz") not in segments:
            file.unlink(missing_ok=True)
    for other in folder.iterdir():
        if other.is_dir() and other.name != generation and (GENERATION.fullmatch(other.name) or is_partial(other)):
            shutil.rmtree(other, ignore_errors=True)


def _check_ours(folder: Path) -> None:
    there = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
    ours = not there or there == {SEGMENTS} or {SEGMENTS, LOCK} <= there  # killed before it was locked, or after
    if folder.is_file() or not ours:
        raise IndexFolderError(f"{folder} holds something that is no index of crossrank's. Give an empty folder.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process builds here meanwhile; the lock of one that dies is gone with it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IndexFolderError(
                f"{folder} is being built by another process. Wait for it, or give another folder."
            ) from None
        yield
    finally:
        os.close(lock)
