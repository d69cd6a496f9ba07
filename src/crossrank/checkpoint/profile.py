"""A checkpoint's configuration files, read once into one frozen value; every per-model exception lives here as data.

It knows configuration files; not weights, tokens, documents or any engine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossrank.errors import CheckpointError, UnsupportedModelError

Activation = Literal["gelu", "gelu_tanh", "relu", "tanh"]
ScoreActivation = Literal["sigmoid", "identity"]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
SCORE_ACTIVATIONS: Mapping[str, ScoreActivation] = {  # sentence-transformers names a torch class
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.linear.Identity": "identity",
}
UNLIMITED = 1_000_000  # tokenizers without a limit write 1e30
SIZE_MAX = 1 << 20  # of any dimension; beyond it, config.json is broken, and reading on would take forever
LAYERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one architecture apart: where positions start, what the head's inner activation is, its segments."""

    name: str
    architecture: str
    head_activation: Activation
    positions_from_padding: bool  # positions count from padding_idx + 1 and skip padding (RoBERTa, XLM-R)
    has_segments: bool  # token type ids tell the query from the document


FAMILIES: Mapping[str, Family] = {
    "bert": Family("bert", "BertForSequenceClassification", "tanh", positions_from_padding=False, has_segments=True),
    "electra": Family(
        "electra", "ElectraForSequenceClassification", "gelu", positions_from_padding=False, has_segments=True
    ),
    "roberta": Family(
        "roberta", "RobertaForSequenceClassification", "tanh", positions_from_padding=True, has_segments=False
    ),
    "xlm-roberta": Family(
        "xlm-roberta", "XLMRobertaForSequenceClassification", "tanh", positions_from_padding=True, has_segments=False
    ),
}


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Everything the engine needs to know of a checkpoint besides its weights and its tokenizer."""

    name: str
    family: Family
    layers: int
    hidden: int
    heads: int
    intermediate: int
    embedding: int  # width of the embedding tables; ELECTRA projects it to `hidden`
    vocabulary: int
    positions: int  # rows of the position table
    segments: int  # rows of the token type table
    labels: int
    activation: Activation
    norm_eps: float
    pad_id: int
    max_length: int  # tokens of a pair, special tokens included
    score_activation: ScoreActivation
    truncation_side: Literal["left", "right"] = "right"

    @property
    def position_offset(self) -> int:
        """The position of a sequence's first token."""
        return self.pad_id + 1 if self.family.positions_from_padding else 0


def read_profile(folder: Path, name: str) -> ModelProfile:
    """Read config.json, tokenizer_config.json and the sentence-transformers files of a checkpoint.

    Raises:
        CheckpointError: a file is missing, broken, or lacks a value.
        UnsupportedModelError: the architecture, its head or its modules are none that can be scored.
    """
    config = _read_object(folder / "config.json")
    tokenizer = _read_object(folder / "tokenizer_config.json", optional=True)
    settings = _read_object(folder / "sentence_bert_config.json", optional=True)
    sentence = _cross_encoder(folder)
    try:
        _check_modules(folder, settings, name)
        _check_prompts(sentence, name)
        family = _family(config, name)
        pad_id = config.get("pad_token_id")
        pad_id = int(family.positions_from_padding) if pad_id is None else _size(config, "pad_token_id", least=0)
        positions = _size(config, "max_position_embeddings")
        usable = _usable(positions, pad_id + 1 if family.positions_from_padding else 0)
        hidden = _size(config, "hidden_size")
        narrow = family.name == "electra" and "embedding_size" in config
        return ModelProfile(
            name=name,
            family=family,
            layers=_size(config, "num_hidden_layers", most=LAYERS_MAX),
            hidden=hidden,
            heads=_heads(config, hidden),
            intermediate=_size(config, "intermediate_size"),
            embedding=_size(config, "embedding_size") if narrow else hidden,
            vocabulary=_size(config, "vocab_size"),
            positions=positions,
            segments=_size(config, "type_vocab_size") if "type_vocab_size" in config else 2,
            labels=_labels(config, name),
            activation=_activation(config, name),
            norm_eps=_norm_eps(config),
            pad_id=pad_id,
            max_length=min(usable, _limit(tokenizer), _limit(settings if sentence else {}, "max_seq_length")),
            score_activation=_score_activation(config, sentence, name),
            truncation_side="left" if tokenizer.get("truncation_side") == "left" else "right",
        )
    except KeyError as exc:
        raise CheckpointError(
            f"config.json of {name!r} lacks {exc}; the checkpoint is incomplete. Download or export the model again."
        ) from exc
    except (TypeError, ValueError, AttributeError) as exc:
        if isinstance(exc, CheckpointError):
            raise
        raise CheckpointError(
            f"The configuration of {name!r} holds a value that cannot be: {exc}. Download or export the model again."
        ) from exc


def read_json(path: Path, default: Any = None) -> Any:
    """A JSON file's content; `default` when the file is absent and a default is given."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is not None:
            return default
        raise CheckpointError(
            f"{path.parent} has no {path.name}. A model folder holds config.json, tokenizer.json and model.safetensors."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as exc:
        raise CheckpointError(f"{path} cannot be read: {exc}. Download or export the model again.") from exc


def _read_object(path: Path, *, optional: bool = False) -> dict[str, Any]:
    content = read_json(path, default={} if optional else None)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object. Download or export the model again.")
    return content


def _size(config: Mapping[str, Any], key: str, *, least: int = 1, most: int = SIZE_MAX) -> int:
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _heads(config: Mapping[str, Any], hidden: int) -> int:
    heads = _size(config, "num_attention_heads")
    if hidden % heads:
        raise ValueError(f"hidden_size {hidden} is no multiple of num_attention_heads {heads}")
    return heads


def _usable(positions: int, first: int) -> int:
    if positions <= first:
        raise ValueError(f"max_position_embeddings {positions} leaves no position for a token")
    return positions - first


def _norm_eps(config: Mapping[str, Any]) -> float:
    value = float(config.get("layer_norm_eps", 1e-12))
    if not 0 < value < 1:
        raise ValueError(f"layer_norm_eps must be a small positive number, not {value!r}")
    return value


def _family(config: Mapping[str, Any], name: str) -> Family:
    kind = config["model_type"]
    architecture = (config.get("architectures") or [None])[0]
    family = FAMILIES.get(str(kind))
    if family is None:
        raise UnsupportedModelError(
            f"{name!r} is of the family {kind!r} ({architecture}); this version scores {', '.join(FAMILIES)}."
        )
    if architecture != family.architecture:
        raise UnsupportedModelError(
            f"{name!r} is a {architecture or 'model of no named architecture'}, which has no reranking head: "
            f"it is an embedding, language or other model. A reranker of this family is a {family.architecture}."
        )
    if (config.get("position_embedding_type") or "absolute") != "absolute":
        raise UnsupportedModelError(
            f"{name!r} uses {config['position_embedding_type']!r} positions; only absolute ones are known"
        )
    return family


def _labels(config: Mapping[str, Any], name: str) -> int:
    labels = len(config["id2label"]) if config.get("id2label") else int(config.get("num_labels", 2))
    if labels != 1:
        raise UnsupportedModelError(
            f"{name!r} has a head of {labels} labels; a reranker gives one score a pair (1 label). "
            "It looks like a classifier."
        )
    return labels


def _activation(config: Mapping[str, Any], name: str) -> Activation:
    given = config.get("hidden_act", "gelu")
    if given not in ACTIVATIONS:
        raise UnsupportedModelError(f"{name!r} uses the activation {given!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[given]


def _limit(config: Mapping[str, Any], key: str = "model_max_length") -> int:
    limit = config.get(key)
    return int(limit) if limit is not None and 0 < limit < UNLIMITED else UNLIMITED


def _score_activation(config: Mapping[str, Any], sentence: Mapping[str, Any], name: str) -> ScoreActivation:
    """As sentence-transformers resolves it: its own file, then config.json (new key, old key), then sigmoid."""
    given = (
        sentence.get("activation_fn")
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    if given not in SCORE_ACTIVATIONS:
        raise UnsupportedModelError(
            f"{name!r} turns logits into scores with {given!r}; known are {', '.join(SCORE_ACTIVATIONS)}"
        )
    return SCORE_ACTIVATIONS[given]


def _cross_encoder(folder: Path) -> Mapping[str, Any]:
    """What sentence-transformers stored of a CrossEncoder; it reads that only beside modules.json, as we do."""
    saved = _read_object(folder / "config_sentence_transformers.json", optional=True)
    return saved if saved.get("model_type") == "CrossEncoder" and (folder / "modules.json").is_file() else {}


def _check_modules(folder: Path, settings: Mapping[str, Any], name: str) -> None:
    modules = read_json(folder / "modules.json", default=[])
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    if kinds not in ([], ["Transformer"]):
        raise UnsupportedModelError(
            f"{name!r} is a chain of sentence-transformers modules ({' -> '.join(kinds)}); "
            "this version scores plain sequence-classification checkpoints."
        )
    task = settings.get("transformer_task", "sequence-classification")
    if task != "sequence-classification":
        raise UnsupportedModelError(f"{name!r} is stored for the task {task!r}, not as a reranker")


def _check_prompts(sentence: Mapping[str, Any], name: str) -> None:
    prompt = sentence.get("default_prompt_name")
    if prompt is not None and (sentence.get("prompts") or {}).get(prompt):
        raise UnsupportedModelError(
            f"{name!r} puts a default prompt ({prompt!r}) before its texts, which is not supported yet"
        )
