"""A model's folder that appears whole or not at all. It knows paths, disks and names of files; not what is in them."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossrank import writing
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.tokenizer import load_tokenizer
from crossrank.errors import CheckpointError, CrossrankError, UsageError

SETTINGS = (  # what makes weights a model; never code
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "modules.json",
    "[0-9]*_*/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",  # of sentencepiece
    "LICENSE*",
    "NOTICE*",
)
ROOM = 1.05  # of the weights, for what comes with them


@contextmanager
def staged(out: Path, *, needs: int, force: bool = False) -> Iterator[Path]:
    """A folder to write into. What is in it is moved to `out` when the body ends; if that fails, nothing is left.

    Args:
        out: made if it does not exist; with `force`, files of the same names in it are replaced, and others stay.
        needs: bytes that will be written.
        force: whether `out` may hold something.

    Raises:
        UsageError: `out` holds something, or cannot be written.
        CrossrankError: the disk is full.
    """
    try:
        _check_free(out, needs=needs, force=force)
        # Within `out` where it exists: it may be a disk of its own, across which nothing can be moved at once.
        place = out if out.is_dir() else _existing(out)
        # Named before it is made: Ctrl-C may come as soon as it is there, before tempfile would know of it.
        hidden = place / f".crossrank-{secrets.token_hex(8)}"
        try:
            (stage := hidden / "model").mkdir(parents=True)
            yield stage
            _publish(stage, out)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except CrossrankError:  # some are OSErrors as well
        raise
    except OSError as exc:
        raise unwritable(out, exc) from exc


def copy_settings(folder: Path, stage: Path, profile: ModelProfile | None = None) -> None:
    """The files beside the weights; with a profile, a tokenizer.json as well where there was only a vocabulary."""
    for file in sorted({file for pattern in SETTINGS for file in folder.glob(pattern) if file.is_file()}):
        copy = stage / file.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    if profile is not None and not (stage / "tokenizer.json").is_file():
        text = load_tokenizer(folder, profile).to_str()
        (stage / "tokenizer.json").write_text(text, encoding="utf-8")


def unwritable(out: Path, exc: Exception) -> CrossrankError:
    """What to raise where a model cannot be written."""
    left = "Nothing was left there; make room and try again."
    return writing.unwritable(out, exc, left=left, remedy="Give a folder of yours.")


def _check_free(out: Path, *, needs: int, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Give a folder; it is made if it does not exist.")
    if not force and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty. Give another folder, or --force to replace files of the same names.")
    free = shutil.disk_usage(_existing(out)).free
    if free < ROOM * needs:
        raise CrossrankError(
            f"{out} needs about {ROOM * needs / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there. "
            "Make room, or give a folder on a larger disk."
        )


def _existing(out: Path) -> Path:
    """The nearest folder above that is there."""
    return next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())


def _publish(stage: Path, out: Path) -> None:
    """Move what was written; as one where nothing stands in the way."""
    files = [file for file in sorted(stage.rglob("*")) if file.is_file()]
    if not files:
        raise CheckpointError(f"{out}: there was nothing to write")
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        stage.rename(out)
        return
    for file in files:
        (target := out / file.relative_to(stage)).parent.mkdir(exist_ok=True)
        os.replace(file, target)  # noqa: PTH105 - says that it replaces
