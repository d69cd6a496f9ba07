"""Where a model's weights are kept as the CPU engine packs them, so that they are packed once and shared by processes.

The engine makes the file when it opens a model first, and maps it from then on. Which file it is depends on everything
that the packed bytes depend on: the checkpoint's files (by their place, size and times, without reading them),
the engine, the instruction set and the precision. It knows files; not weights.
"""

import logging
import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from crossrank.checkpoint.files import model_files
from crossrank.machine import cache_folder, make_private

log = logging.getLogger("crossrank")

FILES_MAX = 16  # models x precisions that stay; the longest unused go first


def packed_file(folder: Path, engine: Path, isa: str, precision: str, domain: int = 0) -> str:
    """The file for the checkpoint in `folder`, which may not exist yet; "" where nothing can be kept.

    Args:
        folder: of the checkpoint.
        engine: the compiled engine, whose layout may change when it is built anew.
        isa: what the weights are packed for.
        precision: in which.
        domain: the NUMA domain whose memory it is to be in: a file is where it was first read, so each has its own.
    """
    caches = cache_folder()
    if caches is None:
        return ""
    kept = caches / "packed"
    try:
        name = _name(folder, engine, isa, precision) + (f"-{domain}" if domain else "")
        make_private(kept)
        file = kept / f"{name}.weights"
        if file.exists():
            os.utime(file)
        else:
            _forget(kept)
    except OSError as exc:  # a read-only home, a full disk: weights are packed in memory, as without a cache
        log.info("packed weights are not kept (%s)", exc)
        return ""
    return str(file)


def _name(folder: Path, engine: Path, isa: str, precision: str) -> str:
    digest = blake2b(repr((isa, precision)).encode(), digest_size=16)
    for file in [engine, *model_files(folder, onnx=False)]:
        facts = file.stat()
        digest.update(f"{file}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}\n".encode())
    return digest.hexdigest()


def _forget(kept: Path) -> None:
    files = sorted(kept.glob("*.weights"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[FILES_MAX - 1 :]:  # one more is about to come
        with suppress(OSError):  # another process was faster, or has it open where that forbids it
            file.unlink()
