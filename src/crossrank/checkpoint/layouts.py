"""How a transformer's layers are put together, read from config.json: one reader for each way that is known.

It knows config.json's keys; not families' names, heads, tensors or any engine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from crossrank.checkpoint.settings import flag, positive, size
from crossrank.errors import UnsupportedModelError

Activation = Literal["none", "gelu", "gelu_tanh", "relu", "silu", "tanh"]
Config = Mapping[str, Any]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}
LAYERS_MAX = 1_000
GLOBAL, LOCAL = "full_attention", "sliding_attention"  # what transformers calls the kinds of layers


@dataclass(frozen=True, slots=True)
class Scaling:
    """How Llama 3 stretches rotary positions: by wavelength, with a smooth passage between two bounds."""

    factor: float
    low: float
    high: float
    positions: int  # that it was first trained for


@dataclass(frozen=True, slots=True)
class Sight:
    """What the attention of a layer goes by.

    Attributes:
        theta: the base of its rotary positions; 0 where positions are not rotary.
        window: tokens that it sees to each side, beside its own; None for all.
        scaling: of the rotary positions; None for none.
    """

    theta: float = 0.0
    window: int | None = None
    scaling: Scaling | None = None


@dataclass(frozen=True, slots=True)
class Relative:
    """DeBERTa's attention, which looks at content and at relative positions apart (arXiv 2006.03654, section 3).

    Attributes:
        positions: beyond which distances are one.
        buckets: into which they fall, logarithmically; 0: each distance is its own.
        content_to_position: whether a token's content looks at distances.
        position_to_content: whether distances look at the content of keys.
        shared: whether the projections of content serve for distances too.
        normed: whether the embeddings of distances are normed.
    """

    positions: int
    buckets: int
    content_to_position: bool
    position_to_content: bool
    shared: bool
    normed: bool

    @property
    def span(self) -> int:
        """Distances that are told apart to each side."""
        return self.buckets or self.positions


@dataclass(frozen=True, slots=True)
class Layout:
    """How the layers are put together, each as config.json says."""

    sights: tuple[Sight, ...]  # of each layer
    activation: Activation
    norm_eps: float
    norm: Literal["layer", "rms"] = "layer"
    norm_offset: float = 0.0  # what is added to the norms' weights
    norm_first: bool = False  # norms stand before the sublayers, and one after the last layer
    gated: bool = False  # GLU
    causal: bool = False
    query_key_norm: bool = False  # of each head's queries and keys
    embedding_scale: float = 1.0
    project_first: bool = False  # narrow embeddings are made as wide as the layers before they are normed, not after
    residual_scale: float = 1.0  # of what a sublayer adds
    learned_positions: bool = True
    linear_biases: bool = False  # ALiBi: a token attends the less to another the farther it is (arXiv 2108.12409)
    relative: Relative | None = None
    qkv_bias: bool = True
    output_bias: bool = True
    ffn_bias: bool = True
    norm_bias: bool = True


def post_norm(config: Config, name: str) -> Layout:
    """BERT's, as RoBERTa, XLM-R and ELECTRA have it too."""
    return Layout(
        sights=(Sight(),) * size(config, "num_hidden_layers", most=LAYERS_MAX),
        activation=activation(config, "hidden_act", name),
        norm_eps=positive(config, "layer_norm_eps", 1e-12, below=1),
    )


def jina_bert(config: Config, name: str) -> Layout:
    """JinaBERT's (arXiv 2310.19923): BERT's with GLU, and linear biases, to both sides, in place of positions."""
    if config.get("position_embedding_type") != "alibi":
        raise UnsupportedModelError(
            f"{name!r} uses {config.get('position_embedding_type')!r} positions; of a JinaBERT only 'alibi' is known"
        )
    kinds: Mapping[str, Activation] = {"geglu": "gelu", "reglu": "relu"}
    kind = str(config.get("feed_forward_type", "original"))
    if kind not in kinds:
        raise UnsupportedModelError(
            f"{name!r} has feed-forward layers of the type {kind!r}; known are {', '.join(kinds)}"
        )
    return replace(
        post_norm(config, name), activation=kinds[kind], gated=True, learned_positions=False, linear_biases=True
    )


def minicpm(config: Config, name: str) -> Layout:
    """MiniCPM's (arXiv 2404.06395): Llama's, with embeddings and what sublayers add scaled.

    Its third scale, dim_model_base, is of logits over the whole vocabulary, which a reranker's heads do not give.
    """
    depth = positive(config, "scale_depth", 1.0) / math.sqrt(size(config, "num_hidden_layers", most=LAYERS_MAX))
    return replace(
        decoder({"hidden_act": "silu", **config}, name),
        embedding_scale=positive(config, "scale_emb", 1.0),
        residual_scale=depth,
    )


def modernbert(config: Config, name: str) -> Layout:
    """Norms first, GLU, rotary positions, most layers local."""
    kinds = _kinds(config, name, every=3)
    seen = {GLOBAL: None, LOCAL: size({"local_attention": 128, **config}, "local_attention") // 2}
    bias = flag(config, "attention_bias", default=False)
    return Layout(
        sights=tuple(Sight(_theta(config, kind, name), seen[kind]) for kind in kinds),
        activation=activation(config, "hidden_activation", name),
        norm_eps=positive(config, "norm_eps", 1e-5, below=1),
        norm_first=True,
        gated=True,
        learned_positions=False,
        qkv_bias=bias,
        output_bias=bias,
        ffn_bias=flag(config, "mlp_bias", default=False),
        norm_bias=flag(config, "norm_bias", default=False),
    )


def deberta(config: Config, name: str) -> Layout:
    """DeBERTa v2 and v3: BERT's, but for the attention."""
    if config.get("conv_kernel_size"):
        raise UnsupportedModelError(f"{name!r} has a convolution in its first layer, which is not known")
    if not flag(config, "relative_attention", default=False):
        raise UnsupportedModelError(f"{name!r} has no relative attention; a DeBERTa without it is not known")
    kinds = config.get("pos_att_type") or []
    kinds = [kind.strip() for kind in kinds.lower().split("|")] if isinstance(kinds, str) else list(kinds)
    if unknown := sorted(set(kinds) - {"c2p", "p2c"}):
        raise UnsupportedModelError(f"{name!r} attends to positions by {', '.join(map(str, unknown))}, not known")
    farthest, buckets = config.get("max_relative_positions", -1), config.get("position_buckets", -1)
    return Layout(
        sights=(Sight(),) * size(config, "num_hidden_layers", most=LAYERS_MAX),
        activation=activation(config, "hidden_act", name),
        norm_eps=positive(config, "layer_norm_eps", 1e-7, below=1),
        learned_positions=flag(config, "position_biased_input", default=True),
        project_first=True,
        relative=Relative(
            positions=int(farthest) if farthest > 0 else size(config, "max_position_embeddings"),
            buckets=max(int(buckets), 0),
            content_to_position="c2p" in kinds,
            position_to_content="p2c" in kinds,
            shared=flag(config, "share_att_key", default=False),
            normed="layer_norm"
            in [part.strip() for part in str(config.get("norm_rel_ebd", "none")).lower().split("|")],
        ),
    )


def decoder(config: Config, name: str, *, qkv_bias: bool | None = None, query_key_norm: bool = False) -> Layout:
    """Llama's, as Mistral, Qwen 2 and 3 have it too: norms first, GLU, rotary positions, tokens see those before.

    Args:
        config: config.json.
        name: of the model, for messages.
        qkv_bias: None where config.json says.
        query_key_norm: whether heads are normed.
    """
    bias = flag(config, "attention_bias", default=False)
    window = (
        config.get("sliding_window") if config.get("use_sliding_window", config["model_type"] == "mistral") else None
    )
    seen = {GLOBAL: None, LOCAL: None if window is None else int(window) - 1}
    if window is None:
        kinds = [GLOBAL] * size(config, "num_hidden_layers", most=LAYERS_MAX)
    else:
        kinds = _kinds(config, name, first_local=config.get("max_window_layers", 0))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = positive(rope, "rope_theta", positive(config, "rope_theta", 10_000.0))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise UnsupportedModelError(f"{name!r} rotates only part of each head, which is not known")
    return Layout(
        sights=tuple(Sight(theta, seen[kind], _scaling(config, rope, name)) for kind in kinds),
        activation=activation(config, "hidden_act", name),
        norm_eps=positive(config, "rms_norm_eps", 1e-6, below=1),
        norm="rms",
        norm_first=True,
        gated=True,
        causal=True,
        query_key_norm=query_key_norm,
        learned_positions=False,
        qkv_bias=bias if qkv_bias is None else qkv_bias,
        output_bias=bias and qkv_bias is None,
        ffn_bias=flag(config, "mlp_bias", default=False),
        norm_bias=False,
    )


def activation(config: Config, key: str, name: str) -> Activation:
    """An activation by the name that transformers gives it."""
    given = config.get(key, "gelu")
    if given not in ACTIVATIONS:
        raise UnsupportedModelError(f"{name!r} uses the activation {given!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[given]


def _kinds(config: Config, name: str, *, every: int | None = None, first_local: int = 0) -> list[str]:
    """The kind of each layer: listed by transformers 5; before that every so many were global, or the first ones."""
    layers = size(config, "num_hidden_layers", most=LAYERS_MAX)
    kinds = config.get("layer_types")
    if kinds is None and every is not None:
        period = size({"global_attn_every_n_layers": every, **config}, "global_attn_every_n_layers")
        kinds = [LOCAL if i % period else GLOBAL for i in range(layers)]
    elif kinds is None:
        kinds = [LOCAL if i >= first_local else GLOBAL for i in range(layers)]
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
    _rope_type({**scaling, **given}, ("default",), name)
    everywhere = positive(config, "global_rope_theta", 160_000.0)
    local = config.get("local_rope_theta", 10_000.0)
    own = everywhere if kind == GLOBAL or local is None else positive(config, "local_rope_theta", 10_000.0)
    return positive(given, "rope_theta", own)


def _scaling(config: Config, rope: Config, name: str) -> Scaling | None:
    if _rope_type(rope, ("default", "llama3"), name) == "default":
        return None
    return Scaling(
        factor=positive(rope, "factor", 8.0),
        low=positive(rope, "low_freq_factor", 1.0),
        high=positive(rope, "high_freq_factor", 4.0),
        positions=size(
            {"original_max_position_embeddings": config["max_position_embeddings"], **rope},
            "original_max_position_embeddings",
        ),
    )


def _rope_type(rope: Config, known: tuple[str, ...], name: str) -> str:
    given = rope.get("rope_type") or rope.get("type") or "default"
    if given not in known:
        raise UnsupportedModelError(
            f"{name!r} has rotary positions of the type {given!r}; only {', '.join(known)} are known"
        )
    return str(given)
