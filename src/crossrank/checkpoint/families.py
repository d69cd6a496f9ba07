"""The families of encoders, and what sets each apart, as data: how its layers are put together, where its head is.

It knows config.json's keys; not tokenizers, chains of modules, weights or any engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crossrank.checkpoint.settings import flag, positive, size
from crossrank.errors import UnsupportedModelError

Activation = Literal["none", "gelu", "gelu_tanh", "relu", "tanh"]
Pooling = Literal["first", "mean"]
Config = Mapping[str, Any]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
POOLINGS: Mapping[str, Pooling] = {"cls": "first", "mean": "mean"}
LAYERS_MAX = 1_000
GLOBAL, LOCAL = "full_attention", "sliding_attention"  # what transformers calls the kinds of layers


@dataclass(frozen=True, slots=True)
class Sight:
    """What the attention of a layer goes by.

    Attributes:
        theta: the base of its rotary positions; 0 where positions are learned.
        window: tokens that it sees to each side; None for all.
    """

    theta: float = 0.0
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How an encoder's layers are put together, each as config.json says."""

    sights: tuple[Sight, ...]  # of each layer
    activation: Activation
    norm_eps: float
    norm_first: bool = False  # norms stand before the sublayers, and one after the last layer
    gated: bool = False  # GLU
    attention_bias: bool = True
    ffn_bias: bool = True
    norm_bias: bool = True


@dataclass(frozen=True, slots=True)
class DenseStep:
    """A dense layer of the head: what its tensors are called in the checkpoint, its columns, what follows it."""

    source: str
    out: int
    activation: Activation = "none"
    bias: bool = True


@dataclass(frozen=True, slots=True)
class NormStep:
    """A layer norm of the head."""

    source: str
    eps: float
    bias: bool = True


HeadStep = DenseStep | NormStep


def _post_norm(config: Config, name: str) -> Layout:
    return Layout(
        sights=(Sight(),) * size(config, "num_hidden_layers", most=LAYERS_MAX),
        activation=activation(config, "hidden_act", name),
        norm_eps=positive(config, "layer_norm_eps", 1e-12, below=1),
    )


def _modernbert(config: Config, name: str) -> Layout:
    kinds = _kinds(config, name)
    seen = {GLOBAL: None, LOCAL: size({"local_attention": 128, **config}, "local_attention") // 2}
    return Layout(
        sights=tuple(Sight(_theta(config, kind, name), seen[kind]) for kind in kinds),
        activation=activation(config, "hidden_activation", name),
        norm_eps=positive(config, "norm_eps", 1e-5, below=1),
        norm_first=True,
        gated=True,
        attention_bias=flag(config, "attention_bias", default=False),
        ffn_bias=flag(config, "mlp_bias", default=False),
        norm_bias=flag(config, "norm_bias", default=False),
    )


def _kinds(config: Config, name: str) -> list[str]:
    """The kind of each layer: listed by transformers 5, before that every so many were global."""
    layers = size(config, "num_hidden_layers", most=LAYERS_MAX)
    kinds = config.get("layer_types")
    if kinds is None:
        every = size({"global_attn_every_n_layers": 3, **config}, "global_attn_every_n_layers")
        kinds = [LOCAL if i % every else GLOBAL for i in range(layers)]
    if len(kinds) != layers:
        raise ValueError(f"layer_types has {len(kinds)} entries for {layers} layers")
    if unknown := sorted({str(kind) for kind in kinds} - {GLOBAL, LOCAL}):
        raise UnsupportedModelError(
            f"{name!r} has layers of the kind {', '.join(unknown)}; known are {GLOBAL}, {LOCAL}"
        )
    return list(kinds)


def _theta(config: Config, kind: str, name: str) -> float:
    """The base of a layer's rotary positions: an entry per kind of layer since transformers 5, two keys before it."""
    given = (config.get("rope_parameters") or {}).get(kind) or {}
    scaling = config.get("rope_scaling") or {}
    rope = given.get("rope_type") or scaling.get("rope_type") or scaling.get("type") or "default"
    if rope != "default":
        raise UnsupportedModelError(f"{name!r} has rotary positions of the type {rope!r}; only 'default' is known")
    everywhere = positive(config, "global_rope_theta", 160_000.0)
    local = config.get("local_rope_theta", 10_000.0)
    own = everywhere if kind == GLOBAL or local is None else positive(config, "local_rope_theta", 10_000.0)
    return positive(given, "rope_theta", own)


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one architecture apart.

    Attributes:
        name: as config.json calls it.
        architecture: with a reranking head of its own.
        body: without one, as a chain of modules stores it.
        prefix: of the body's tensors beside its own head.
        tensors: how the tensors of the body are called.
        head: what the tensors of its own head are called: dense layer, norms, dense layer.
        head_activation: between those; None where config.json says.
        layout: reads how the layers are put together.
        positions_from_padding: positions count from padding_idx + 1 and skip padding (RoBERTa, XLM-R).
        has_segments: token type ids tell the query from the document.
        has_segment_table: even where they do not.
    """

    name: str
    architecture: str
    body: str
    prefix: str
    head: tuple[str, ...]
    head_activation: Activation | None
    layout: Callable[[Config, str], Layout] = _post_norm
    tensors: Literal["bert", "modernbert"] = "bert"
    positions_from_padding: bool = False
    has_segments: bool = False
    has_segment_table: bool = True


_CLASSIFIER = ("classifier.dense", "classifier.out_proj")

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "bert",
            "BertForSequenceClassification",
            "BertModel",
            "bert.",
            ("bert.pooler.dense", "classifier"),  # its pooler is the inner layer that others keep in their head
            "tanh",
            has_segments=True,
        ),
        Family(
            "electra",
            "ElectraForSequenceClassification",
            "ElectraModel",
            "electra.",
            _CLASSIFIER,
            "gelu",
            has_segments=True,
        ),
        Family(
            "roberta",
            "RobertaForSequenceClassification",
            "RobertaModel",
            "roberta.",
            _CLASSIFIER,
            "tanh",
            positions_from_padding=True,
        ),
        Family(
            "xlm-roberta",
            "XLMRobertaForSequenceClassification",
            "XLMRobertaModel",
            "roberta.",
            _CLASSIFIER,
            "tanh",
            positions_from_padding=True,
        ),
        Family(
            "modernbert",
            "ModernBertForSequenceClassification",
            "ModernBertModel",
            "model.",
            ("head.dense", "head.norm", "classifier"),
            None,
            layout=_modernbert,
            tensors="modernbert",
            has_segment_table=False,
        ),
    )
}


def own_head(config: Config, family: Family, layout: Layout, labels: int, name: str) -> tuple[HeadStep, ...]:
    """The head that a family's own architecture has."""
    inner, *norms, outer = family.head
    between = family.head_activation or activation(config, "classifier_activation", name)
    return (
        DenseStep(inner, size(config, "hidden_size"), between, flag(config, "classifier_bias", default=not norms)),
        *(NormStep(norm, layout.norm_eps, layout.norm_bias) for norm in norms),
        DenseStep(outer, labels),
    )


def own_pooling(config: Config, name: str) -> Pooling:
    """What a family's own head looks at."""
    return pooling(config.get("classifier_pooling", "cls"), name)


def pooling(given: Any, name: str) -> Pooling:
    """Pooling by the name that transformers and sentence-transformers give it."""
    if given not in POOLINGS:
        raise UnsupportedModelError(f"{name!r} pools tokens by {given!r}; known are {', '.join(POOLINGS)}")
    return POOLINGS[given]


def activation(config: Config, key: str, name: str) -> Activation:
    """An activation by the name that transformers gives it."""
    given = config.get(key, "gelu")
    if given not in ACTIVATIONS:
        raise UnsupportedModelError(f"{name!r} uses the activation {given!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[given]
