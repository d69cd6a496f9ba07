"""Old weight files become safetensors with every bit in its place; a file that needs code to be read never runs it."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crossrank import Reranker, errors
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.cli.convert import command
from crossrank.cli.main import run
from crossrank.export.convert import convert
from parity import FEW
from unmeasured import unmeasured

BIN, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def old_model(checkpoint: Path, folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """The checkpoint as it would have been saved years ago; `change` gives what is stored in place of its tensors."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(checkpoint / "model.safetensors")
    torch.save(tensors if change is None else change(tensors) or tensors, folder / BIN)
    return folder


def logits(folder: Path) -> np.ndarray:
    with Reranker(str(folder), device="cpu", precision="fp32", cache=None) as reranker:
        return reranker.score(FEW, raw=True)


@pytest.mark.parametrize("family", ["bert", "electra", "xlm-roberta", "modernbert", "deberta-v2"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_every_bit_is_where_it_was(family: str, dtype: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """The converted folder gives the same logits, from the same tensors of the same type."""
    folder = checkpoint(family, dtype=dtype)
    done = convert(old_model(folder, tmp_path / "old"), tmp_path / "new")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "new" / "model.safetensors")
    assert before.keys() == after.keys()
    assert done.tensors == len(after)
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name])
    np.testing.assert_array_equal(logits(tmp_path / "new"), logits(folder))


def test_the_format_of_before_2020(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Files that are one pickle, not an archive, are read as well."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    torch.save(load_file(checkpoint("bert") / "model.safetensors"), old / BIN, _use_new_zipfile_serialization=False)
    convert(old, tmp_path / "new")
    np.testing.assert_array_equal(logits(tmp_path / "new"), logits(checkpoint("bert")))


def test_parts_with_an_index(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """All parts become one file; a part that is missing, and a name that comes twice, are errors."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    tensors = torch.load(old / BIN, weights_only=True)
    (old / BIN).unlink()
    names = sorted(tensors)
    parts = {f"pytorch_model-0000{i + 1}-of-00002.bin": names[i::2] for i in range(2)}
    for file, part in parts.items():
        torch.save({name: tensors[name] for name in part}, old / file)
    (old / INDEX).write_text(json.dumps({"weight_map": {name: file for file, part in parts.items() for name in part}}))
    assert [file.name for file in convert(old, tmp_path / "new").read] == sorted(parts)
    np.testing.assert_array_equal(logits(tmp_path / "new"), logits(checkpoint("bert")))
    first, second = sorted(parts)
    shutil.copy(old / first, old / second)
    with pytest.raises(errors.WeightsError, match="a second time"):
        convert(old, tmp_path / "other")
    (old / second).unlink()
    with pytest.raises(errors.CheckpointError, match=second):
        convert(old, tmp_path / "other")
    (old / INDEX).write_text('{"weight_map": 3}')
    with pytest.raises(errors.CheckpointError, match="which file holds which"):
        convert(old, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_tensors_that_share_memory_are_all_there(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Tied tensors, slices and turned ones: safetensors itself would refuse them, or drop all but one."""

    def share(tensors: dict[str, Any]) -> None:
        one, other = (f"bert.encoder.layer.{i}.attention.self.query.weight" for i in range(2))
        tensors[other] = tensors[one]
        name = "bert.encoder.layer.0.attention.self.key.weight"
        tensors[name] = tensors[name].t()
        name = "bert.encoder.layer.0.attention.self.value.weight"
        tensors[name] = torch.cat([tensors[name], tensors[name]])[: len(tensors[name])]
        tensors["bert.pooler.dense.bias"] = torch.nn.Parameter(tensors["bert.pooler.dense.bias"].double())

    old = old_model(checkpoint("bert"), tmp_path / "old", share)
    convert(old, tmp_path / "new")
    before, after = torch.load(old / BIN, weights_only=True), load_file(tmp_path / "new" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor.float(), after[name])
    assert logits(tmp_path / "new").shape == (3,)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def evil(kind: str, file: Path, ran: Path) -> None:
    match kind:
        case "zip":
            torch.save({"a": Evil(ran)}, file)
        case "legacy":
            torch.save({"a": Evil(ran)}, file, _use_new_zipfile_serialization=False)
        case "pickle":
            file.write_bytes(pickle.dumps({"a": Evil(ran)}, protocol=2))
        case "module":
            torch.save(torch.nn.Linear(2, 2), file)
        case "script":
            torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(file))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "module", "script"])
def test_code_is_never_run(
    kind: str, checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What needs code to be read is refused in every format; nothing ran, and nothing was written."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    evil(kind, old / BIN, tmp_path / "ran")
    code = run(lambda: command.main([str(old), str(tmp_path / "new")], standalone_mode=False))
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    if kind != "pickle":
        assert "without running code" in err
    assert {path.name for path in tmp_path.iterdir()} == {"old"}


WRITTEN = {
    "empty": b"",
    "junk": b"junk" * 100,
    "page": b"<!DOCTYPE html><title>404</title>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
}
STORED = {
    "list": [torch.ones(2)],
    "training": {"model": {"a": torch.ones(2)}, "epoch": 3},
    "sparse": {"a": torch.ones(2).to_sparse()},
    "none": {},
    "other": {"a": torch.ones(2)},
}


def broken(kind: str, file: Path) -> None:
    """Put something else in place of the weights, or half of them."""
    if kind in STORED:
        torch.save(STORED[kind], file)
    else:
        whole = file.read_bytes()
        file.write_bytes(WRITTEN.get(kind, whole[: len(whole) // 2]))


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("empty", errors.CheckpointError, "corrupt"),
        ("junk", errors.CheckpointError, "corrupt"),
        ("cut", errors.CheckpointError, "corrupt"),
        ("page", errors.CheckpointError, "corrupt"),
        ("pointer", errors.CheckpointError, "corrupt"),
        ("list", errors.UnsupportedModelError, "holds a list"),
        ("training", errors.UnsupportedModelError, "training state"),
        ("sparse", errors.WeightsError, "plain floats"),
        ("none", errors.CheckpointError, "no weights"),
        ("other", errors.WeightsError, "do not fit"),
    ],
)
def test_other_files_are_refused(
    kind: str, error: type[Exception], says: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """What is wrong, and nothing written."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    broken(kind, old / BIN)
    with pytest.raises(error, match=says) as caught:
        convert(old, tmp_path / "new")
    assert type(caught.value) is error
    assert {path.name for path in tmp_path.iterdir()} == {"old"}


def test_folders_that_cannot_be_converted(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """None there, nothing to convert, no reranker, something in the way."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    with pytest.raises(errors.ModelNotFoundError, match="does not exist"):
        convert(tmp_path / "none", tmp_path / "new")
    with pytest.raises(errors.UsageError, match="already"):
        convert(checkpoint("bert"), tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.UsageError, match="neither"):
        convert(tmp_path / "empty", tmp_path / "new")
    with pytest.raises(errors.UsageError, match="--force"):
        convert(old, old)
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(errors.UnsupportedModelError, match="no reranking head"):
        convert(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_model_that_is_asked_in_words(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Its chat template, which tells how, goes along."""
    template = "qwen3-reranker"
    folder = checkpoint("qwen3", template=template, max_length=1024)
    old = old_model(folder, tmp_path / "old")
    (old / "chat_template.jinja").write_text(PROMPTS[template].marker)
    convert(old, tmp_path / "new")
    with Reranker(str(folder), template=template, device="cpu", precision="fp32", cache=None) as reranker:
        expected = reranker.score(FEW, raw=True)
    np.testing.assert_array_equal(logits(tmp_path / "new"), expected)


def test_in_place_with_force(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """The same folder gets its safetensors beside the old file, and nothing else changes."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    before = {file.name: file.read_bytes() for file in old.iterdir()}
    convert(old, old, force=True)
    after = {file.name: file.read_bytes() for file in old.iterdir()}
    assert after.keys() - before.keys() == {"model.safetensors"}
    assert {name: after[name] for name in before} == before
    np.testing.assert_array_equal(logits(old), logits(checkpoint("bert")))


def test_the_command_reports(
    checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was read and written."""
    old = old_model(checkpoint("bert"), tmp_path / "old")
    assert run(lambda: command.main([str(old), str(tmp_path / "new")], standalone_mode=False)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    facts = {line.split("  ", 1)[0]: line.split("  ", 1)[1].strip() for line in out.splitlines()}
    assert (facts["read"], facts["family"]) == (BIN, "bert")


LIMITED = """
import resource, sys
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.cli.convert import command
from crossrank.cli.main import run
sys.dont_write_bytecode = True  # it would be cut off, and kept for everybody who imports the same
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(run(lambda: command.main(sys.argv[1:], standalone_mode=False)))
"""


def test_a_disk_that_takes_no_more(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 1, one line that says so, and nothing there."""
    arguments = [str(old_model(checkpoint("bert"), tmp_path / "old")), str(tmp_path / "new")]
    command = [sys.executable, "-c", LIMITED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured())
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"old"}
