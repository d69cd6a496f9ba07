"""Chains of sentence-transformers modules: a transformer without a head, a pooling, and a head of layers after it.

It knows modules.json and the modules' own config.json files; not tensors, tokenizers or any engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank.checkpoint.families import DenseStep, HeadStep, NormStep, Pooling, pooling
from crossrank.checkpoint.layouts import Activation
from crossrank.checkpoint.settings import flag, read_json, read_object, size
from crossrank.errors import UnsupportedModelError

ACTIVATIONS: Mapping[str, Activation] = {  # by the torch class that is stored
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.linear.Identity": "none",
}
POOLING_KEYS: Mapping[str, str] = {  # before one key named the mode, each had a key of its own
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
HEAD = ("Dense", "LayerNorm", "Dropout")
NORM_EPS = 1e-5  # torch's, which the module does not store
PACKAGE = "sentence_transformers."
EMBEDDING_ENDS = ("Pooling", "Normalize")  # what the chain of an embedding model ends with
EMBEDDING, SCORES = "sentence_embedding", "scores"  # what modules read and write


@dataclass(frozen=True, slots=True)
class Chain:
    """What comes after the transformer."""

    pooling: Pooling
    head: tuple[HeadStep, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """A language model whose answer's token ids are stored (sentence-transformers' LogitScore)."""

    yes: int
    no: int | None


def read_chain(
    folder: Path, settings: Mapping[str, Any], width: Callable[[], int], name: str
) -> Chain | Answers | None:
    """The modules after the transformer; None where it is alone, with a head of its own.

    Args:
        folder: of the checkpoint.
        settings: the transformer's, from sentence_bert_config.json.
        width: tells how many columns come out of it; only asked where something comes after.
        name: of the model, for messages.

    Raises:
        UnsupportedModelError: modules, or settings of them, that are not known.
    """
    modules = read_json(folder / "modules.json", default=[])
    kinds = [_kind(str(module.get("type", ""))) for module in modules]
    if kinds == ["Transformer", "LogitScore"]:
        _check_task(settings, "text-generation", [], name)
        return _answers(read_object(folder / _path(modules[1]) / "config.json"))
    alone = kinds in ([], ["Transformer"])
    _check_task(settings, "sequence-classification" if alone else "feature-extraction", kinds, name)
    if alone:
        return None
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= set(HEAD) or "Dense" not in kinds[2:]:
        raise UnsupportedModelError(
            f"{name!r} is a chain of sentence-transformers modules ({' -> '.join(kinds)}); known are a Transformer "
            f"alone, and Transformer -> Pooling -> any of {', '.join(HEAD)}, the last Dense giving the score."
            + (" This one gives embeddings, not scores: it is no reranker." if kinds[-1] in EMBEDDING_ENDS else "")
        )
    paths = [_path(module) for module in modules]
    hidden = width()
    pooled = _pooling(read_object(folder / paths[1] / "config.json"), hidden, name)
    steps: list[HeadStep] = []
    columns, written = hidden, EMBEDDING
    for kind, path in zip(kinds[2:], paths[2:], strict=True):
        if kind == "Dropout":
            continue
        if written != EMBEDDING:
            raise UnsupportedModelError(f"{name!r}: {path} comes after the module that gives {written!r}")
        config = read_object(folder / path / "config.json")
        if kind == "LayerNorm":
            _same(size(config, "dimension"), columns, path)
            steps.append(NormStep(f"{path}/norm", NORM_EPS))
        else:
            _same(size(config, "in_features"), columns, path)
            step, written = _dense(config, path, name)
            steps.append(step)
            columns = step.out
    if written != SCORES:
        raise UnsupportedModelError(
            f"{name!r} ends with a module that gives {written!r}, not {SCORES!r}: it is no reranker"
        )
    if columns != 1:
        raise UnsupportedModelError(
            f"{name!r} has a head of {columns} labels; a reranker gives one score a pair (1 label). "
            "It looks like a classifier."
        )
    return Chain(pooled, tuple(steps))


def _answers(config: Mapping[str, Any]) -> Answers:
    no = config.get("false_token_id")
    return Answers(size(config, "true_token_id", least=0), None if no is None else int(no))


def _kind(type_name: str) -> str:
    """The class's name; the whole of it where it is somebody else's."""
    return type_name.rsplit(".", 1)[-1] if type_name.startswith(PACKAGE) else type_name


def _path(module: Mapping[str, Any]) -> str:
    path = str(module["path"])
    if path == ".." or path != Path(path).name:  # nothing outside the checkpoint; the transformer's is ""
        raise ValueError(f"modules.json has the path {path!r}, which is no folder's name")
    return path


def _check_task(settings: Mapping[str, Any], task: str, kinds: list[str], name: str) -> None:
    given = settings.get("transformer_task", task)
    if given != task:
        raise UnsupportedModelError(f"{name!r} is stored for the task {given!r}, not as a reranker")
    method = ((settings.get("modality_config") or {}).get("text") or {}).get("method_output_name")
    output = method[-1] if isinstance(method, list) and len(method) == 1 else method
    if len(kinds) > 1 and output not in (None, "last_hidden_state"):
        raise UnsupportedModelError(f"{name!r} pools {method!r} of its transformer; only last_hidden_state is known")


def _pooling(config: Mapping[str, Any], hidden: int, name: str) -> Pooling:
    width = config.get("embedding_dimension", config.get("word_embedding_dimension", hidden))
    _same(width, hidden, "the pooling")
    modes = config.get("pooling_mode") or [mode for key, mode in POOLING_KEYS.items() if config.get(key)] or "mean"
    return pooling(modes if isinstance(modes, str) else " + ".join(modes), name)


def _dense(config: Mapping[str, Any], path: str, name: str) -> tuple[DenseStep, str]:
    """The layer, and what it writes."""
    given = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if given not in ACTIVATIONS:
        raise UnsupportedModelError(
            f"{name!r} uses the activation {given!r} in {path}; known: {', '.join(ACTIVATIONS)}"
        )
    if config.get("use_residual"):
        raise UnsupportedModelError(f"{name!r} adds what {path} reads to what it writes, which is not supported")
    reads = config.get("module_input_name", EMBEDDING)
    writes = config.get("module_output_name") or reads
    if reads != EMBEDDING or writes not in (EMBEDDING, SCORES):
        raise UnsupportedModelError(
            f"{name!r}: {path} reads {reads!r} and writes {writes!r}; known are {EMBEDDING!r} and, last, {SCORES!r}"
        )
    bias = flag(config, "bias", default=True)
    return DenseStep(f"{path}/linear", size(config, "out_features"), ACTIVATIONS[given], bias), writes


def _same(columns: Any, expected: int, where: str) -> None:
    if columns != expected:
        raise ValueError(f"{where} takes {columns!r} columns, {expected} come to it")
