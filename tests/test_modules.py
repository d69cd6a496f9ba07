"""Chains of sentence-transformers modules are read as far as they are known; what is not is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import load_weights
from crossrank.errors import CheckpointError, CrossrankError, UnsupportedModelError, WeightsError

BASE, OWN = "sentence_transformers.base.modules", "sentence_transformers.sentence_transformer.modules"
TYPES = {
    "Transformer": f"{BASE}.transformer.Transformer",
    "Pooling": f"{OWN}.pooling.Pooling",
    "Dense": f"{BASE}.dense.Dense",
    "LayerNorm": f"{OWN}.layer_norm.LayerNorm",
    "Dropout": f"{OWN}.dropout.Dropout",
    "Normalize": f"{BASE}.normalize.Normalize",
    "pylate": "pylate.models.Dense.Dense",
}
GELU, IDENTITY = "torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"
CHAIN = ("Transformer", "Pooling", "Dense", "LayerNorm", "Dense")
INNER = {"in_features": 24, "out_features": 24, "bias": False, "activation_function": GELU}
OUTER = {"in_features": 24, "out_features": 1, "activation_function": IDENTITY, "module_output_name": "scores"}
CONFIGS: dict[str, dict[str, Any]] = {
    "1_Pooling": {"embedding_dimension": 24, "pooling_mode": "cls", "include_prompt": True},
    "2_Dense": INNER,
    "3_LayerNorm": {"dimension": 24},
    "4_Dense": OUTER,
}
SETTINGS = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}


def write(folder: Path, file: str, content: Any) -> None:
    """Store JSON."""
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")


def list_modules(folder: Path, kinds: tuple[str, ...]) -> None:
    """Store modules.json."""
    paths = ["" if i == 0 else f"{i}_{kind}" for i, kind in enumerate(kinds)]
    modules = [{"idx": i, "name": str(i), "path": p, "type": TYPES[kinds[i]]} for i, p in enumerate(paths)]
    write(folder, "modules.json", modules)


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """The configuration of a chain, as cross-encoder/ettin-reranker-* store it, that the test may change."""
    folder = Path(shutil.copytree(checkpoint("modernbert"), tmp_path / "model"))
    change(folder, "config.json", architectures=["ModernBertModel"])
    list_modules(folder, CHAIN)
    write(folder, "sentence_bert_config.json", SETTINGS)
    for path, config in CONFIGS.items():
        write(folder, f"{path}/config.json", config)
    return folder


def change(folder: Path, file: str, **entries: Any) -> None:
    """Replace entries of a JSON file; ... removes one."""
    content = json.loads((folder / file).read_text(encoding="utf-8")) | entries
    write(folder, file, {key: value for key, value in content.items() if value is not ...})


def refusal(folder: Path, kind: type[CrossrankError]) -> str:
    """The message with which the profile is refused."""
    with pytest.raises(kind) as caught:
        read_profile(folder, "some/model")
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_chain_is_read_into_a_pooling_and_a_head(folder: Path) -> None:
    """Each module is a step with its own columns, activation and bias; dropout is none."""
    profile = read_profile(folder, "some/model")
    assert (profile.pooling, profile.labels, profile.architecture) == ("first", 1, "ModernBertModel")
    inner, norm, outer = profile.head
    assert (inner.source, inner.out, inner.activation, inner.bias) == ("2_Dense/linear", 24, "gelu", False)
    assert (norm.source, norm.eps, norm.bias) == ("3_LayerNorm/norm", 1e-5, True)
    assert (outer.source, outer.out, outer.activation, outer.bias) == ("4_Dense/linear", 1, "none", True)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": ...}, "mean"),
        ({"pooling_mode": ..., "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode": ..., "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"embedding_dimension": ..., "word_embedding_dimension": 24}, "first"),
    ],
)
def test_pooling_by_new_and_old_keys(config: dict[str, Any], expected: str, folder: Path) -> None:
    """One key names the mode; before it, each mode had a key."""
    change(folder, "1_Pooling/config.json", **config)
    assert read_profile(folder, "some/model").pooling == expected


@pytest.mark.parametrize(
    ("file", "entries", "says"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "'max'; known are cls, mean"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "'cls + mean'"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.SiLU"}, "SiLU"),
        ("2_Dense/config.json", {"use_residual": True}, "2_Dense"),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "'token_embeddings'"),
        ("2_Dense/config.json", {"module_output_name": "scores", "out_features": 1}, "3_LayerNorm comes after"),
        ("4_Dense/config.json", {"module_output_name": None}, "no reranker"),
        ("4_Dense/config.json", {"out_features": 3}, "3 labels"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "fill-mask"),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method_output_name": "logits"}}}, "'logits'"),
        ("config.json", {"architectures": ["ModernBertForMaskedLM"]}, "ModernBertForMaskedLM, which is not what"),
    ],
)
def test_what_is_not_known_is_refused_by_name(file: str, entries: dict[str, Any], says: str, folder: Path) -> None:
    """A setting that would change the score is named, not passed over."""
    change(folder, file, **entries)
    assert says in refusal(folder, UnsupportedModelError)


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (("Transformer", "Pooling", "Normalize", "Dense"), "Transformer -> Pooling -> Normalize -> Dense"),
        (("Transformer", "Dense"), "Transformer -> Dense"),
        (("Transformer", "Pooling"), "Transformer -> Pooling)"),
        (("Transformer", "Pooling", "pylate"), "pylate.models.Dense.Dense"),
    ],
)
def test_other_chains_are_refused_with_their_modules(kinds: tuple[str, ...], says: str, folder: Path) -> None:
    """The message lists the modules that were found and those that are known."""
    list_modules(folder, kinds)
    message = refusal(folder, UnsupportedModelError)
    assert says in message
    assert "any of Dense, LayerNorm, Dropout" in message


@pytest.mark.parametrize(
    ("file", "entries", "says"),
    [
        ("1_Pooling/config.json", {"embedding_dimension": 12}, "12 columns, 24"),
        ("2_Dense/config.json", {"in_features": 12}, "2_Dense takes 12 columns, 24"),
        ("3_LayerNorm/config.json", {"dimension": 12}, "3_LayerNorm takes 12 columns, 24"),
        ("2_Dense/config.json", {"out_features": ...}, "out_features"),
        ("2_Dense/config.json", {"bias": "yes"}, "bias"),
    ],
)
def test_modules_that_do_not_fit_are_errors(file: str, entries: dict[str, Any], says: str, folder: Path) -> None:
    """What one module gives, the next must take."""
    change(folder, file, **entries)
    assert says in refusal(folder, CheckpointError)


@pytest.mark.parametrize("path", ["../elsewhere", "a/b", "/tmp/2_Dense", ".."])
def test_a_module_outside_the_checkpoint_is_an_error(path: str, folder: Path) -> None:
    """A path in modules.json leads to no other folder."""
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["path"] = path
    write(folder, "modules.json", modules)
    assert repr(path) in refusal(folder, CheckpointError)


def test_a_missing_module_and_its_missing_weights_are_named(folder: Path) -> None:
    """A folder without configuration or weights is named, and a tensor of a module that is not read as well."""
    profile = read_profile(folder, "some/model")
    with pytest.raises(CheckpointError, match=r"2_Dense/model\.safetensors, 3_LayerNorm/model\.safetensors, 4_Dense"):
        load_weights(folder, profile)
    zero = {name: np.zeros(24, np.float32) for name in ("norm.weight", "norm.bias", "surplus")}
    for path in ("2_Dense", "3_LayerNorm", "4_Dense"):
        save_file(zero, folder / path / "model.safetensors")
    with pytest.raises(
        WeightsError, match=r"ModernBertModel: .*unused 2_Dense/norm\.bias.*3_LayerNorm/surplus.*Without"
    ):
        load_weights(folder, profile)
    shutil.rmtree(folder / "2_Dense")
    assert "2_Dense has no config.json" in refusal(folder, CheckpointError)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"layer_types": ["full_attention", "chunked_attention"]}, "chunked_attention"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "'linear'"),
        ({"hidden_activation": "quick_gelu"}, "'quick_gelu'"),
    ],
)
def test_what_a_modernbert_may_not_have_is_refused(entries: dict[str, Any], says: str, folder: Path) -> None:
    """Layers, rotary positions and activations of other kinds are named."""
    change(folder, "config.json", **entries)
    assert says in refusal(folder, UnsupportedModelError)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"layer_types": ["full_attention"]}, "1 entries for 2 layers"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers"),
        ({"local_attention": -1}, "local_attention"),
        ({"global_rope_theta": 0}, "global_rope_theta"),
        ({"attention_bias": "no"}, "attention_bias"),
        ({"num_attention_heads": 8}, "odd heads"),
    ],
)
def test_values_of_a_modernbert_that_cannot_be_are_errors(entries: dict[str, Any], says: str, folder: Path) -> None:
    """Values that contradict one another or make no sense are refused before anything is computed."""
    change(folder, "config.json", **entries)
    assert says in refusal(folder, CheckpointError)


def test_the_pooling_of_a_plain_modernbert_is_its_own(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """classifier_pooling is cls or mean, and cls where it is not there."""
    folder = Path(shutil.copytree(checkpoint("modernbert"), tmp_path / "model"))
    assert read_profile(folder, "some/model").pooling == "mean"
    change(folder, "config.json", classifier_pooling=...)
    assert read_profile(folder, "some/model").pooling == "first"
    change(folder, "config.json", classifier_pooling="max")
    with pytest.raises(UnsupportedModelError, match=r"pools tokens by 'max'.*transformers cannot open it either"):
        Reranker(str(folder))
    change(folder, "config.json", classifier_pooling="cls", local_rope_theta=None)
    assert [sight.theta for sight in read_profile(folder, "some/model").layout.sights] == [160_000.0] * 2
    assert Reranker(str(folder)).score([("a", "b")]).shape == (1,)
