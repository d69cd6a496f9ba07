"""What people give as a reranker and is none, or is damaged: a clear error when it is opened, for each.

An overview, by the door that everyone uses; what each part refuses in detail is tested with that part.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from crossrank import Reranker, errors

WEIGHTS = "model.safetensors"
OWN = "sentence_transformers.sentence_transformer.modules"


def config(folder: Path, **entries: object) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | entries))


def without_head(folder: Path) -> None:
    """As a language model's body, from which transformers would go on with a head that it makes up."""
    weights = load_file(folder / WEIGHTS)
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / WEIGHTS)


def as_embeddings(folder: Path) -> None:
    """As sentence-transformers stores a bi-encoder."""
    config(folder, architectures=["BertModel"])
    kinds = ["sentence_transformers.base.modules.transformer.Transformer", f"{OWN}.pooling.Pooling"]
    kinds.append("sentence_transformers.base.modules.normalize.Normalize")
    modules = [{"idx": i, "name": str(i), "path": f"{i}_M" if i else "", "type": kind} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))


def cut(file: Path, share: float) -> None:
    """As a download that was broken off leaves it."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


CASES: dict[str, tuple[Callable[[Path], object], type[errors.CrossrankError], str]] = {
    "a head that was never trained": (without_head, errors.WeightsError, "classifier.*random scores"),
    "no tokenizer": (
        lambda f: (f / "tokenizer.json").unlink(),
        errors.CheckpointError,
        r"tokenizer\.json|\[UNK\]|vocab",
    ),
    "a tokenizer of another model": (
        lambda f: config(f, vocab_size=20),
        errors.CheckpointError,
        "they belong to different models",
    ),
    "weights of another vocabulary": (lambda f: config(f, vocab_size=999), errors.WeightsError, "contradict"),
    "an embedding model": (
        lambda f: config(f, architectures=["BertModel"]),
        errors.UnsupportedModelError,
        "is a BertModel, which has no reranking head: it is an embedding",
    ),
    "an embedding model of sentence-transformers": (
        as_embeddings,
        errors.UnsupportedModelError,
        "Transformer -> Pooling -> Normalize.*gives embeddings, not scores",
    ),
    "a masked language model": (
        lambda f: config(f, architectures=["BertForMaskedLM"]),
        errors.UnsupportedModelError,
        "is a BertForMaskedLM, which has no reranking head",
    ),
    "a classifier of something else": (
        lambda f: config(f, id2label={"0": "joy", "1": "anger", "2": "fear"}),
        errors.UnsupportedModelError,
        "joy, anger, fear.*looks like a classifier",
    ),
    "weights cut short": (lambda f: cut(f / WEIGHTS, 0.7), errors.CheckpointError, "corrupt.*[Dd]ownload"),
    "weights of no bytes": (lambda f: cut(f / WEIGHTS, 0), errors.CheckpointError, "corrupt.*[Dd]ownload"),
    "a tokenizer cut short": (lambda f: cut(f / "tokenizer.json", 0.7), errors.CheckpointError, "Download"),
    "a configuration cut short": (lambda f: cut(f / "config.json", 0.7), errors.CheckpointError, "Download"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), errors.CheckpointError, r"no model\.safetensors"),
}


@pytest.mark.parametrize("what", CASES)
def test_what_is_no_reranker_is_refused_when_it_is_opened(
    what: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The message names what it is, or what is wrong with it."""
    damage, kind, says = CASES[what]
    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))
    damage(folder)
    with pytest.raises(kind, match=says):
        Reranker(str(folder))


@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma"])
def test_a_language_model_is_named(family: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """One that was trained for nothing in particular, with a chat template that is no reranker's."""
    folder = Path(shutil.copytree(checkpoint(family, template="qwen3-reranker"), tmp_path / "model"))
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(errors.UnsupportedModelError, match=r"is a \w+ForCausalLM, a language model without.*template="):
        Reranker(str(folder))


def test_an_onnx_file_with_other_inputs(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """An embedding's inputs are a reranker's, its output is not; a vision model's are neither."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))
    (folder / WEIGHTS).unlink()
    given = helper.make_tensor_value_info("pixel_values", float32, ["rows", 3, 8, 8])
    found = helper.make_tensor_value_info("logits", float32, ["rows", 1])
    node = helper.make_node("ReduceMean", ["pixel_values"], ["m"], axes=[2, 3], keepdims=0)
    first = helper.make_node("ReduceMean", ["m"], ["logits"], axes=[1], keepdims=1)
    graph = helper.make_graph([node, first], "vision", [given], [found])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(errors.UnsupportedModelError, match=r"pixel_values.*missing: input_ids, attention_mask"):
        Reranker(str(folder))
