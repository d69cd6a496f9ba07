"""What tells one open model's scores from any other's, so that a cache can be shared: a digest of all they depend on.

It knows files and settings; not scores. Reading the weights takes longer than opening a model: what was read once is
kept in the cache folder, by the file's place, size, times and inode.
"""

import os
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from crossrank import __version__
from crossrank.backends.contract import BackendFacts
from crossrank.checkpoint.files import model_files
from crossrank.checkpoint.profile import ModelProfile
from crossrank.engine.encode import Encoder
from crossrank.machine import cache_folder, make_private
from crossrank.writing import write_whole

CUTTING_VERSION = 1  # raised when engine/cut gives other windows, so that shared caches forget the old scores
DIGEST_BYTES = 32
KEPT_FROM_BYTES = 2**20  # smaller files are read each time
KEPT_MAX = 256  # files whose digest is kept; the longest unused go first
SETTLED_S = 2.0  # a file that changed later than that may change again without showing it in its times


def fingerprint(folder: Path, profile: ModelProfile, encoder: Encoder, facts: BackendFacts) -> bytes:
    """32 bytes that differ between models whose scores may differ in a single bit.

    They cover the files, how texts are asked about and cut (`Encoder.config` and its template), what is read off the
    logits, what computes them, and the version of crossrank, which may compute them otherwise.
    """
    computed_by = (facts.backend, facts.device, facts.precision, facts.detail)
    read_by = (profile.reading, profile.head, profile.pooling, profile.layers)
    asked = encoder.instructed and encoder.instructed("an instruction of a call")
    how = (__version__, CUTTING_VERSION, encoder.config, encoder.template, asked, read_by, computed_by)
    digest = blake2b(repr(how).encode(), digest_size=DIGEST_BYTES)
    for file in model_files(folder, onnx=facts.backend == "onnx"):
        name = str(file.relative_to(folder)).encode()
        digest.update(len(name).to_bytes(8, "little") + name + file_digest(file))
    return digest.digest()


def file_digest(file: Path) -> bytes:
    """32 bytes of a file's content, from the cache folder where they are there."""
    caches, facts = cache_folder(), file.stat()
    if caches is None or facts.st_size < KEPT_FROM_BYTES:
        return _read(file)
    seen = (str(file.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_dev, facts.st_ino)
    kept = caches / "digests" / blake2b(repr(seen).encode(), digest_size=16).hexdigest()
    with suppress(OSError, ValueError):
        digest = bytes.fromhex(kept.read_text("ascii"))
        if len(digest) == DIGEST_BYTES:
            os.utime(kept)
            return digest
    digest = _read(file)
    if time.time() - max(facts.st_mtime, facts.st_ctime) > SETTLED_S:
        with suppress(OSError):  # a read-only home, a full disk: it is read again next time
            _keep(kept, digest)
    return digest


def _read(file: Path) -> bytes:
    digest = blake2b(digest_size=DIGEST_BYTES)
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _keep(kept: Path, digest: bytes) -> None:
    make_private(kept.parent)
    others = sorted(kept.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in others[KEPT_MAX - 1 :]:
        file.unlink()
    write_whole(kept, digest.hex())
