"""What tells models apart in a shared cache: everything their scores depend on, read once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossrank.backends.contract import BackendFacts
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.fingerprint import KEPT_FROM_BYTES, KEPT_MAX, SETTLED_S, file_digest, fingerprint

FACTS = BackendFacts("native", "cpu", "fp32", 2, "avx2")
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are kept."""
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "digests"


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is worth remembering, and old enough: its inode says when it was made, so it is from elsewhere."""
    settled = [Path(sys.executable).resolve(), Path(os.__file__), Path("/bin/bash")]
    found = next((file for file in settled if file.stat().st_size >= KEPT_FROM_BYTES), None)
    if found is None:
        pytest.skip("no old large file here")
    return found


def encoder_of(folder: Path, **options: object) -> Encoder:
    profile = read_profile(folder, "m")
    tokenizer = load_tokenizer(folder, profile)
    return Encoder(tokenizer, read_template(tokenizer, profile), EncodeConfig(profile.max_length, **options))


def test_everything_that_changes_a_score_changes_it(folder: Path) -> None:
    """How texts are cut and joined, what is read off the logits, what computes them."""
    profile, encoder = read_profile(folder, "m"), encoder_of(folder)
    config, template = encoder.config, encoder.template
    others = [
        (profile, encoder, replace(FACTS, precision="int8")),
        (profile, encoder, replace(FACTS, backend="torch")),
        (profile, encoder, replace(FACTS, device="cuda")),
        (profile, encoder, replace(FACTS, detail="amx")),
        (replace(profile, reading="odds"), encoder, FACTS),
        (replace(profile, pooling="mean"), encoder, FACTS),
        (replace(profile, head=profile.head[1:]), encoder, FACTS),
        (profile, replace(encoder, template=replace(template, between=(7,))), FACTS),
        (profile, replace(encoder, template=replace(template, query=("Find: ", ""))), FACTS),
        *(
            (profile, replace(encoder, config=replace(config, **change)), FACTS)
            for change in (
                {"max_length": 32},
                {"long_documents": "truncate"},
                {"windows_max": 3},
                {"truncation_side": "left"},
                {"cut_query": True},
            )
        ),
    ]
    prints = [fingerprint(folder, *other) for other in [(profile, encoder, FACTS), *others]]
    assert len(set(prints)) == len(prints)
    assert fingerprint(folder, replace(profile, name="other"), encoder, replace(FACTS, threads=9)) == prints[0]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_every_file_of_the_model_counts(name: str, folder: Path) -> None:
    """A single bit of it, with size and times as they were."""
    profile, encoder, file = read_profile(folder, "m"), encoder_of(folder), folder / name
    before = fingerprint(folder, profile, encoder, FACTS)
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(folder, profile, encoder, FACTS) != before
    file.write_bytes(content)
    assert fingerprint(folder, profile, encoder, FACTS) == before


def test_the_place_does_not_count(folder: Path, tmp_path: Path) -> None:
    """A copy elsewhere is the same model, in another process too."""
    code = (
        "import sys; from crossrank.engine.open import open_scorer; "
        "from crossrank.engine.options import OpenConfig; from crossrank.engine.cache import "
        "MemoryCache; print(open_scorer(OpenConfig(sys.argv[1], cache=MemoryCache())).identity.hex())"
    )
    copy = shutil.copytree(folder, tmp_path / "copy")
    commands = [[sys.executable, "-c", code, str(place)] for place in (folder, copy)]
    first, second = (subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands)
    assert first == second != ""


def test_a_large_file_is_read_once(large: Path, digests: Path) -> None:
    """The digest that is kept is believed; one that is damaged is not."""
    digest = file_digest(large)
    (kept,) = digests.iterdir()
    assert kept.read_text() == digest.hex()
    kept.write_text("00" * 32)
    assert file_digest(large) == bytes(32)
    for damaged in ("", "00", "\0" * 64, digest.hex()[:-2], digest.hex() + "00"):
        kept.write_text(damaged)
        assert file_digest(large) == digest
        assert kept.read_text() == digest.hex()


def test_a_file_that_has_just_changed_is_read_again(
    tmp_path: Path, digests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times may not show the next change; a small one is always read."""
    file, later_s = tmp_path / "weights", SETTLED_S
    clock = SimpleNamespace(time=lambda: file.stat().st_ctime + later_s)
    monkeypatch.setattr("crossrank.engine.fingerprint.time", clock)
    for content in (b"a" * KEPT_FROM_BYTES, b"b" * KEPT_FROM_BYTES):
        file.write_bytes(content)
        os.utime(file, (LONG_AGO, LONG_AGO))  # it still is: the inode has changed now
        assert file_digest(file) != file_digest(Path(__file__))
    assert not digests.exists()
    later_s += 1
    file_digest(file)
    assert len(list(digests.iterdir())) == 1


def test_a_cache_folder_that_cannot_be_written_changes_nothing(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = file_digest(large)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CROSSRANK_CACHE", str(tmp_path / "file" / "cache"))
    assert file_digest(large) == digest


def test_what_was_not_used_for_longest_is_forgotten(large: Path, digests: Path) -> None:
    digests.mkdir(parents=True)
    for age in range(KEPT_MAX + 5):
        (digests / f"{age:032}").write_text("")
        os.utime(digests / f"{age:032}", (LONG_AGO - age, LONG_AGO - age))
    file_digest(large)
    left = {file.name for file in digests.iterdir()}
    assert len(left) == KEPT_MAX
    assert f"{KEPT_MAX - 2:032}" in left
    assert f"{KEPT_MAX - 1:032}" not in left
