"""Weights are taken whole, each under its name, of its shape and from safetensors only; anything else is an error."""

import json
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tensors import tensor_table
from crossrank.checkpoint.weights import load_weights
from crossrank.errors import CheckpointError, WeightsError
from crossrank.testing import write_safetensors
from engines import FAMILIES
from parity import FEW

NAMED = "model.safetensors"
INDEX = "model.safetensors.index.json"
Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A tiny BERT reranker that the test may change."""
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[Tensors], Mapping[str, np.ndarray] | None]) -> None:
    """Store the tensors that `change` leaves or returns."""
    tensors = load_file(folder / NAMED)
    save_file(dict(change(tensors) or tensors), folder / NAMED)


def logits(folder: Path) -> NDArray[np.float32]:
    """Of a few pairs, in fp32."""
    with Reranker(str(folder), precision="fp32", cache=None) as reranker:
        return reranker.score(FEW, raw=True)


def refusal(folder: Path, kind: type[Exception]) -> str:
    """The message with which the weights are refused, here and when a model is opened."""
    with pytest.raises(kind) as caught:
        load_weights(folder, read_profile(folder, "some/model"))
    assert type(caught.value) is kind
    with pytest.raises(kind):
        Reranker(str(folder))
    return str(caught.value)


def as_fp32(tensor: np.ndarray) -> NDArray[np.float32]:
    """A loaded tensor's values; uint16 are the bits of bfloat16."""
    return (tensor.astype(np.uint32) << 16).view(np.float32) if tensor.dtype == np.uint16 else tensor.astype(np.float32)


@pytest.mark.parametrize(("dtype", "rounding"), [("F16", 2**-11), ("BF16", 2**-8)])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_the_same_model_but_for_its_rounding(
    family: str, dtype: str, rounding: float, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Each weight is off by the type's rounding at most, and the logits are exactly those of the rounded weights."""
    full, half, rounded = (
        Path(shutil.copytree(checkpoint(family), tmp_path / name)) for name in ("full", "half", "rounded")
    )
    profile, tensors = read_profile(full, family), load_file(full / NAMED)
    write_safetensors(half / NAMED, tensors, dtype)
    loaded, exact = load_weights(half, profile), load_weights(full, profile)
    for name, tensor in exact.items():
        np.testing.assert_allclose(as_fp32(loaded[name]), tensor, rtol=rounding, atol=1e-7, err_msg=name)
    parts = {source: [as_fp32(loaded[name]) for name in names] for source, names, _ in tensor_table(profile)}
    save_file({source: np.concatenate(tensors) for source, tensors in parts.items()}, rounded / NAMED)
    np.testing.assert_array_equal(logits(half), logits(rounded))
    np.testing.assert_allclose(logits(half), logits(full), atol=50 * rounding)


def test_types_may_be_mixed(folder: Path) -> None:
    """A checkpoint whose norms are fp32 and whose rest is fp16 loads."""
    expected = logits(folder)
    rewrite(folder, lambda tensors: {n: t if "LayerNorm" in n else t.astype(np.float16) for n, t in tensors.items()})
    np.testing.assert_allclose(logits(folder), expected, atol=0.05)


def shard(folder: Path, *, count: int = 3) -> dict[str, list[str]]:
    """Split the weights over files with an index, as transformers does; the tensors of each file."""
    tensors = load_file(folder / NAMED)
    (folder / NAMED).unlink()
    names = sorted(tensors)
    shards = {f"model-{i + 1:05}-of-{count:05}.safetensors": names[i::count] for i in range(count)}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    weight_map = {name: file for file, held in shards.items() for name in held}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return shards


def test_shards_are_one_model(folder: Path) -> None:
    """Weights split over several files give the same logits."""
    expected = logits(folder)
    shard(folder)
    np.testing.assert_array_equal(logits(folder), expected)


def test_what_transformers_shards_loads(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """save_pretrained with a small max_shard_size writes an index that is understood."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint("xlm-roberta"))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(checkpoint("xlm-roberta")).save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 1
    np.testing.assert_array_equal(logits(tmp_path), logits(checkpoint("xlm-roberta")))


def test_a_missing_shard_is_named(folder: Path) -> None:
    """An index that names a file which is not there is an error with that file's name."""
    lost = list(shard(folder))[1]
    (folder / lost).unlink()
    message = refusal(folder, CheckpointError)
    assert f"lacks the weight files {lost}." in message
    assert "again" in message


def test_a_weight_in_two_shards_is_an_error(folder: Path) -> None:
    """Nobody can tell which of the two is meant, so neither is taken."""
    first, second, _ = shard(folder).items()
    both = {**load_file(folder / second[0]), first[1][0]: load_file(folder / first[0])[first[1][0]]}
    save_file(both, folder / second[0])
    assert f"{first[1][0]} a second time" in refusal(folder, WeightsError)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{"])
def test_a_broken_index_is_an_error(content: str, folder: Path) -> None:
    """An index that is none is told from missing weights."""
    shard(folder)
    (folder / INDEX).write_text(content)
    message = refusal(folder, CheckpointError)
    assert INDEX in message
    assert "again" in message


def test_an_index_leads_to_no_other_folder(folder: Path, tmp_path: Path) -> None:
    """A path in an index counts by its name alone."""
    shards = shard(folder, count=1)
    elsewhere = tmp_path / "elsewhere.safetensors"
    (folder / next(iter(shards))).rename(elsewhere)
    weight_map = dict.fromkeys(load_file(elsewhere), f"../{elsewhere.name}")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert "elsewhere.safetensors" in refusal(folder, CheckpointError)


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_may_have_their_old_names(family: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """LayerNorm.gamma and .beta, of checkpoints that came from TensorFlow, are weight and bias."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))

    def rename(name: str) -> str:
        return re.sub(r"(?i)(norm)\.bias$", r"\1.beta", re.sub(r"(?i)(norm)\.weight$", r"\1.gamma", name))

    rewrite(folder, lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    assert any(name.endswith("gamma") for name in load_file(folder / NAMED))
    np.testing.assert_array_equal(logits(folder), logits(checkpoint(family)))


def test_an_old_and_a_new_name_of_one_weight_are_an_error(folder: Path) -> None:
    """A file that holds both LayerNorm.gamma and LayerNorm.weight contradicts itself."""
    rewrite(folder, lambda t: {**t, "bert.embeddings.LayerNorm.gamma": t["bert.embeddings.LayerNorm.weight"]})
    assert "a second time" in refusal(folder, WeightsError)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_buffers_are_ignored(dtype: type, folder: Path) -> None:
    """position_ids and token_type_ids, which old versions saved, are constants and no weights."""
    expected = logits(folder)
    buffers = {f"bert.embeddings.{name}": np.zeros((1, 64), dtype) for name in ("position_ids", "token_type_ids")}
    rewrite(folder, lambda tensors: {**tensors, **buffers})
    np.testing.assert_array_equal(logits(folder), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_weight_is_named(family: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Each weight of the architecture must be there; the message names those that are not."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    ends = ("layer.1.output.dense.bias", "layers.1.mlp.Wi.weight")
    lost = next(name for name in load_file(folder / NAMED) if name.endswith(ends))
    rewrite(folder, lambda tensors: {name: t for name, t in tensors.items() if name != lost})
    message = refusal(folder, WeightsError)
    assert f"missing {lost}; unused none" in message
    assert "head" not in message


def test_an_unused_weight_is_named(folder: Path) -> None:
    """A weight that the architecture does not use would change the score elsewhere, so it is an error."""
    rewrite(folder, lambda tensors: {**tensors, "bert.adapter.weight": np.ones((2, 2), np.float32)})
    assert "missing none; unused bert.adapter.weight" in refusal(folder, WeightsError)


def test_many_names_are_cut_short(folder: Path) -> None:
    """A message lists a dozen names and counts the rest."""
    rewrite(folder, lambda tensors: {f"model.{name}": tensor for name, tensor in tensors.items()})
    message = refusal(folder, WeightsError)
    assert "and 29 more" in message
    assert len(message) < 2500


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("bert", ("classifier.weight", "classifier.bias")),
        ("bert", ("bert.pooler.dense.weight", "bert.pooler.dense.bias")),
        ("electra", ("classifier.out_proj.weight", "classifier.out_proj.bias")),
        ("xlm-roberta", ("classifier.dense.weight", "classifier.dense.bias")),
        ("modernbert", ("head.dense.weight", "head.norm.weight")),
    ],
)
def test_a_missing_head_is_named_as_such(
    family: str, head: tuple[str, str], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Others fill a missing head with random numbers; here the message says what that would mean."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    rewrite(folder, lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in head})
    message = refusal(folder, WeightsError)
    assert "Without its head the model would give random scores" in message
    assert head[0] in message


def test_a_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    """A weight of another shape than config.json says is named with what it is and should be."""
    rewrite(folder, lambda tensors: {**tensors, "classifier.weight": np.zeros((2, 24), np.float32)})
    message = refusal(folder, WeightsError)
    assert "classifier.weight is [2, 24], expected [1, 24]" in message
    assert "config.json" in message


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float64])
def test_weights_that_are_no_floats_of_known_size_are_refused(dtype: type, folder: Path) -> None:
    """A quantised weight is named with its type and the types that are known."""
    name = "bert.pooler.dense.weight"
    rewrite(folder, lambda tensors: {**tensors, name: tensors[name].astype(dtype)})
    message = refusal(folder, WeightsError)
    assert f"{name} as {np.dtype(dtype).kind.upper()}{8 * np.dtype(dtype).itemsize}" in message
    assert "F32, F16, BF16" in message


def corrupt(content: bytes, how: str) -> bytes:
    """A safetensors file that something went wrong with."""
    return {
        "empty": b"",
        "a few bytes": content[:5],
        "header cut": content[:100],
        "tensors cut": content[:-1000],
        "longer": content + b"\0" * 8,
        "garbage": bytes(range(256)) * 40,
        "zeros": bytes(len(content)),
        "header too large": (2**62).to_bytes(8, "little") + content[8:],
        "header of the wrong size": (len(content) - 8).to_bytes(8, "little") + content[8:],
        "a page of a web site": b"<!doctype html><html>Please log in</html>",
        "a pointer of git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 437955512\n",
        "overlapping tensors": content.replace(b'"data_offsets": [0, ', b'"data_offsets": [4, ', 1),
        "header without its shape": content.replace(b'"shape"', b'"shope"', 1),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "a few bytes",
        "header cut",
        "tensors cut",
        "longer",
        "garbage",
        "zeros",
        "header too large",
        "header of the wrong size",
        "a page of a web site",
        "a pointer of git lfs",
        "overlapping tensors",
        "header without its shape",
    ],
)
def test_a_corrupt_file_is_an_error_with_a_remedy(how: str, folder: Path) -> None:
    """Whatever happened to the file, its path and what to do are in the message."""
    file = folder / NAMED
    damaged = corrupt(file.read_bytes(), how)
    assert damaged != file.read_bytes()
    file.write_bytes(damaged)
    message = refusal(folder, CheckpointError)
    assert str(file) in message
    assert "Download or export the model again" in message


def test_no_weights_at_all_is_an_error(folder: Path) -> None:
    """A folder without weights names the file that is missing."""
    (folder / NAMED).unlink()
    assert "has no model.safetensors" in refusal(folder, CheckpointError)
    (folder / NAMED).mkdir()
    assert "has no model.safetensors" in refusal(folder, CheckpointError)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.crater,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_a_pickle_is_never_opened(name: str, folder: Path, tmp_path: Path) -> None:
    """Weights that exist only as a pickle are refused with the way to convert them, and the pickle stays shut."""
    crater = tmp_path / "crater"
    (folder / NAMED).unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(crater)))
    message = refusal(folder, CheckpointError)
    assert name in message
    assert "pickle" in message
    assert "save_pretrained" in message
    assert not crater.exists()
    pickle.loads((folder / name).read_bytes())
    assert crater.exists(), "the bomb was a dud"


def test_a_pickle_beside_safetensors_does_not_matter(folder: Path, tmp_path: Path) -> None:
    """With safetensors there is no reason to look at a pickle."""
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "crater")))
    assert logits(folder).shape == (3,)
    assert not (tmp_path / "crater").exists()


def test_weights_are_views_of_the_file(folder: Path) -> None:
    """Loading copies nothing: every tensor is a read-only view of the mapped file, in the checkpoint's own type."""
    weights = load_weights(folder, read_profile(folder, "some/model"))
    assert all(not tensor.flags.writeable and not tensor.flags.owndata for tensor in weights.values())
    assert {tensor.dtype.name for tensor in weights.values()} == {"float32"}
