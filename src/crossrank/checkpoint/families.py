"""The families of models, and what sets each apart, as data: its layers, its tensors' names, where its head is.

It knows config.json's keys; not tokenizers, chains of modules, weights or any engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from crossrank.checkpoint import layouts
from crossrank.checkpoint.layouts import Activation, Config, Layout, activation
from crossrank.checkpoint.settings import flag, size
from crossrank.errors import UnsupportedModelError

Pooling = Literal["first", "mean", "last"]
Tensors = Literal["bert", "flash", "jina-bert", "modernbert", "deberta", "decoder", "foreign"]

POOLINGS: Mapping[str, Pooling] = {"cls": "first", "mean": "mean"}


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


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """The last layer of a language model, of which two rows are kept: the logit of `yes`, less that of `no`.

    Attributes:
        source: what its tensor is called in the checkpoint; of tied ones it is not there, and the embeddings serve.
        yes: token id of the answer that counts.
        no: of the answer that counts against it; None for none.
    """

    source: str
    yes: int
    no: int | None
    bias: bool = False


HeadStep = DenseStep | NormStep | AnswerStep


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one architecture apart.

    Attributes:
        name: as config.json calls it; of a family whose code comes with its checkpoints, a name of ours.
        architecture: with a reranking head of its own.
        body: without one, as a chain of modules stores it.
        prefix: of the body's tensors beside its own head.
        language_model: without one, as a language model that is asked for an answer; "" for none.
        head: what the tensors of its own head are called: dense layer, norms, dense layer; or the last alone.
        head_activation: between those; None where config.json says, under the key `head_activation_key`.
        layout: reads how the layers are put together.
        tensors: how the tensors of the body are called; "foreign": only transformers knows.
        pooling: what its own head looks at; None where config.json says.
        positions_from_padding: positions count from padding_idx + 1 and skip padding (RoBERTa, XLM-R).
        has_segments: token type ids tell the query from the document.
        narrow: embeddings may have fewer columns than the layers, under the key `embedding_size`.
        segments: rows of the token type table where config.json says nothing; 0: there is no table.
        gated: its feed-forward network has a gate: three matrices a layer, not two.
        remote_code: a class that auto_map in config.json names: the authors' code would come with the checkpoint, and
            what is computed here was written from its public text; "" where transformers has the family.
        tied: whether its last layer is its embeddings where config.json says nothing; of a language model.
        exits: what the heads of early exits are called, with {} for their number; "" where there are none.
    """

    name: str
    architecture: str
    body: str
    prefix: str
    head: tuple[str, ...]
    head_activation: Activation | None
    layout: Callable[[Config, str], Layout] = layouts.post_norm
    tensors: Tensors = "bert"
    pooling: Pooling | None = "first"
    head_activation_key: str = "classifier_activation"
    language_model: str = ""
    positions_from_padding: bool = False
    has_segments: bool = False
    narrow: bool = False
    segments: int | None = 2
    gated: bool = False
    remote_code: str = ""
    tied: bool = False
    exits: str = ""

    @property
    def native(self) -> bool:
        """Whether the C++ engine has it."""
        return self.tensors in ("bert", "flash", "modernbert")

    @property
    def learned_only(self) -> bool:
        """Whether its positions must be learned ones."""
        return self.tensors in ("bert", "flash")

    @property
    def foreign(self) -> bool:
        """Whether only transformers can run it."""
        return self.tensors == "foreign"


def foreign_family(config: Config, architecture: str) -> Family:
    """A family that is not in the table, as transformers would run it."""
    kind = str(config["model_type"])
    return Family(kind, architecture, "", "", (), None, tensors="foreign", has_segments=True, segments=0)


_CLASSIFIER = ("classifier.dense", "classifier.out_proj")
_ROBERTA = Family(
    "roberta",
    "RobertaForSequenceClassification",
    "RobertaModel",
    "roberta.",
    _CLASSIFIER,
    "tanh",
    positions_from_padding=True,
)
_LLAMA = Family(
    "llama",
    "LlamaForSequenceClassification",
    "LlamaModel",
    "model.",
    ("score",),
    None,
    layout=layouts.decoder,
    tensors="decoder",
    pooling="last",
    language_model="LlamaForCausalLM",
    segments=None,
    gated=True,
)

_T5 = Family(  # transformers runs it: an encoder that is read, and a decoder whose first token is the answer
    "t5",
    "T5ForSequenceClassification",
    "T5Model",
    "",
    (),
    None,
    tensors="foreign",
    language_model="T5ForConditionalGeneration",
    segments=0,
    tied=True,
)


def _gemma(config: Config, name: str) -> Layout:
    """Gemma 1: Llama's, with larger embeddings, norms about 1, and an activation that its config.json misnames."""
    if config.get("use_bidirectional_attention"):
        raise UnsupportedModelError(f"{name!r} lets tokens see those after them, which is not known of a Gemma")
    named = {"hidden_act": "gelu_pytorch_tanh", **config}
    named["hidden_act"] = named.get("hidden_activation") or named["hidden_act"]
    if named["hidden_act"] == "gelu":
        named["hidden_act"] = "gelu_pytorch_tanh"
    scale = float(size(config, "hidden_size")) ** 0.5
    return replace(layouts.decoder(named, name), norm_offset=1.0, embedding_scale=scale)


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
            narrow=True,
        ),
        _ROBERTA,
        replace(
            _ROBERTA, name="xlm-roberta", architecture="XLMRobertaForSequenceClassification", body="XLMRobertaModel"
        ),
        replace(_ROBERTA, name="camembert", architecture="CamembertForSequenceClassification", body="CamembertModel"),
        Family(
            "modernbert",
            "ModernBertForSequenceClassification",
            "ModernBertModel",
            "model.",
            ("head.dense", "head.norm", "classifier"),
            None,
            layout=layouts.modernbert,
            tensors="modernbert",
            pooling=None,
            segments=None,
            gated=True,
        ),
        Family(
            "deberta-v2",
            "DebertaV2ForSequenceClassification",
            "DebertaV2Model",
            "deberta.",
            ("pooler.dense", "classifier"),
            None,
            layout=layouts.deberta,
            tensors="deberta",
            head_activation_key="pooler_hidden_act",
            has_segments=True,
            narrow=True,
            segments=0,
        ),
        _LLAMA,
        replace(
            _LLAMA,
            name="mistral",
            architecture="MistralForSequenceClassification",
            body="MistralModel",
            language_model="MistralForCausalLM",
        ),
        replace(
            _LLAMA,
            name="qwen2",
            architecture="Qwen2ForSequenceClassification",
            body="Qwen2Model",
            language_model="Qwen2ForCausalLM",
            layout=partial(layouts.decoder, qkv_bias=True),
        ),
        replace(
            _LLAMA,
            name="qwen3",
            architecture="Qwen3ForSequenceClassification",
            body="Qwen3Model",
            language_model="Qwen3ForCausalLM",
            layout=partial(layouts.decoder, query_key_norm=True),
        ),
        replace(
            _LLAMA,
            name="gemma",
            architecture="GemmaForSequenceClassification",
            body="GemmaModel",
            language_model="GemmaForCausalLM",
            tied=True,
            layout=_gemma,
        ),
        # jina-reranker-v1-*: BERT with GLU and linear biases for positions.
        Family(
            "jina-bert",
            "JinaBertForSequenceClassification",
            "JinaBertModel",
            "bert.",
            ("bert.pooler.dense", "classifier"),
            "tanh",
            layout=layouts.jina_bert,
            tensors="jina-bert",
            has_segments=True,
            gated=True,
            remote_code="JinaBertForSequenceClassification",
        ),
        # jina-reranker-v2-base-multilingual: XLM-R, whose tensors have the names of flash-attention's BERT.
        replace(
            _ROBERTA,
            name="xlm-roberta-flash",
            architecture="XLMRobertaForSequenceClassification",
            body="XLMRobertaModel",
            tensors="flash",
            remote_code="XLMRobertaFlashConfig",
        ),
        replace(
            _LLAMA,
            name="minicpm-layerwise",
            architecture="LayerWiseMiniCPMForCausalLM",
            body="LayerWiseMiniCPMModel",
            language_model="",
            head=(),
            layout=layouts.minicpm,
            remote_code="LayerWiseMiniCPMForCausalLM",
            exits="lm_head.{}.linear_head",
        ),
        _T5,
        replace(
            _T5,
            name="mt5",
            architecture="MT5ForSequenceClassification",
            body="MT5Model",
            language_model="MT5ForConditionalGeneration",
        ),
    )
}


def own_head(config: Config, family: Family, layout: Layout, labels: int, name: str) -> tuple[HeadStep, ...]:
    """The head that a family's own architecture has."""
    *inner, outer = family.head
    if not inner:
        return (DenseStep(outer, labels, bias=False),)
    dense, *norms = inner
    between = family.head_activation or activation(config, family.head_activation_key, name)
    return (
        DenseStep(dense, size(config, "hidden_size"), between, flag(config, "classifier_bias", default=not norms)),
        *(NormStep(norm, layout.norm_eps, layout.norm_bias) for norm in norms),
        DenseStep(outer, labels),
    )


def exits_of(config: Config, family: Family, name: str) -> range:
    """The layers after which a model has a head, of which one is chosen when it is opened; empty for most.

    Raises:
        UnsupportedModelError: the heads are of a kind that is not known.
    """
    if not family.exits:
        return range(0)
    kind = (config.get("head_type", "simple"), config.get("head_multi", True))
    if kind != ("simple", True):
        raise UnsupportedModelError(
            f"{name!r} has heads of the kind {kind[0]!r}{'' if kind[1] else ', one for all layers'}; known is a "
            "'simple' one, of one output, for each layer"
        )
    last = size(config, "num_hidden_layers", most=layouts.LAYERS_MAX)
    return range(size({"start_layer": 8, **config}, "start_layer", most=last), last + 1)


def own_pooling(config: Config, family: Family, name: str) -> Pooling:
    """What a family's own head looks at."""
    return family.pooling or pooling(config.get("classifier_pooling", "cls"), name)


def pooling(given: Any, name: str) -> Pooling:
    """Pooling by the name that transformers and sentence-transformers give it."""
    if given not in POOLINGS:
        raise UnsupportedModelError(f"{name!r} pools tokens by {given!r}; known are {', '.join(POOLINGS)}")
    return POOLINGS[given]
