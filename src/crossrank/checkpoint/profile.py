"""A checkpoint's configuration files, read once into one frozen value; every per-model exception lives here as data.

It knows configuration files; not weights, tokens, documents or any engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossrank.checkpoint.catalogue import known_template
from crossrank.checkpoint.families import (
    FAMILIES,
    AnswerStep,
    Family,
    HeadStep,
    Pooling,
    foreign_family,
    own_head,
    own_pooling,
)
from crossrank.checkpoint.layouts import Layout
from crossrank.checkpoint.modules import Answers, Chain, read_chain
from crossrank.checkpoint.prompts import PROMPTS, Prompt, read_prompt
from crossrank.checkpoint.settings import flag, read_object, size
from crossrank.errors import CheckpointError, CrossrankError, UnsupportedModelError

ScoreActivation = Literal["sigmoid", "identity"]
Reading = Literal["score", "odds", "grade"]  # one label; two, the second against the first; grades from 0 upwards

SCORE_ACTIVATIONS: Mapping[str, ScoreActivation] = {  # sentence-transformers names a torch class
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.linear.Identity": "identity",
}
ACTIVATION_OF: Mapping[Reading, ScoreActivation | None] = {"score": None, "odds": "sigmoid", "grade": "identity"}
ONE_LABEL: tuple[int, Reading] = (1, "score")
RELEVANT = {"relevant", "yes", "true", "1", "label_1"}  # what the second of two labels may be called
UNLIMITED = 1_000_000  # tokenizers without a limit write 1e30
FOREIGN_TOKENS_MAX = 8_192  # of a model that states no limit
CLASSIFIER = "ForSequenceClassification"
UNKNOWN_ID = -1  # until the tokenizer says


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Everything the engine needs to know of a checkpoint besides its weights and its tokenizer.

    Of a foreign family, which only transformers can run, what is inside is left at 0.
    """

    name: str
    family: Family
    layout: Layout
    hidden: int
    heads: int
    kv_heads: int  # fewer than `heads` where groups of them share keys and values
    head_size: int
    intermediate: int
    embedding: int  # width of the embedding tables; ELECTRA projects it to `hidden`
    vocabulary: int
    positions: int  # rows of the position table, or the most that rotary ones were trained for
    segments: int  # rows of the token type table; 0: there is none
    labels: int
    reading: Reading  # how the labels' logits become one
    prompt: Prompt | None  # the template that it was trained with, where the tokenizer has none of its own
    pooling: Pooling
    head: tuple[HeadStep, ...]
    modular: bool  # the head is a chain of sentence-transformers modules, each in a folder of its own
    pad_id: int
    max_length: int  # tokens of a pair, special tokens included
    score_activation: ScoreActivation
    truncation_side: Literal["left", "right"] = "right"
    foreign_because: str = ""  # why only transformers can run it

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.layout.sights)

    @property
    def architecture(self) -> str:
        """The architecture, as config.json names it."""
        if self.answers is not None:
            return self.family.language_model
        return self.family.body if self.modular else self.family.architecture

    @property
    def answers(self) -> AnswerStep | None:
        """Which answers of a language model count; None for a model with a head of its own."""
        step = self.head[0] if self.head else None
        return step if isinstance(step, AnswerStep) else None

    @property
    def position_offset(self) -> int:
        """The position of a sequence's first token."""
        return self.pad_id + 1 if self.family.positions_from_padding else 0


def read_profile(folder: Path, name: str, *, template: str | None = None) -> ModelProfile:
    """Read config.json, tokenizer_config.json and the sentence-transformers files of a checkpoint.

    Args:
        folder: of the checkpoint.
        name: of the model, for messages.
        template: which prompt it was trained with, where its files do not tell.

    Raises:
        CheckpointError: a file is missing, broken, or lacks a value.
        UnsupportedModelError: the architecture, its head or its modules are none that can be scored.
    """
    config = read_object(folder / "config.json")
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True)
    settings = read_object(folder / "sentence_bert_config.json", optional=True)
    sentence = _cross_encoder(folder)
    try:
        modules = read_chain(folder, settings, lambda: size(config, "hidden_size"), name)
        chain = modules if isinstance(modules, Chain) else None
        _check_prompts(sentence, name)
        known = FAMILIES.get(str(config["model_type"]))
        prompt = read_prompt(folder, tokenizer, template or known_template(name))
        asked = known is not None and _named(config) == known.language_model
        if asked:
            _check_asked(prompt, name)
        elif isinstance(modules, Answers):
            raise UnsupportedModelError(
                f"{name!r} has the modules Transformer -> LogitScore, which are for a language model, but is a "
                f"{_named(config)}."
            )
        else:
            _check_architecture(config, known, chain, name)
        labels, reading = ONE_LABEL if chain or asked else _labels(config, name)
        common = _Common(
            name=name,
            labels=labels,
            reading=reading,
            prompt=prompt,
            answers=_answers(config, modules) if asked else None,
            limit=min(_limit(tokenizer), _limit(settings if sentence else {}, "max_seq_length")),
            score_activation=ACTIVATION_OF[reading] or _score_activation(config, sentence, name),
            truncation_side="left" if tokenizer.get("truncation_side") == "left" else "right",
        )
        if known is None:
            return _foreign(config, common, f"{name!r} is of the family {config['model_type']!r}")
        try:
            return _own(config, known, chain, common)
        except UnsupportedModelError as exc:
            if chain:
                raise
            return _foreign(config, common, str(exc))
    except KeyError as exc:
        raise CheckpointError(
            f"config.json of {name!r} lacks {exc}; the checkpoint is incomplete. Download or export the model again."
        ) from exc
    except (TypeError, ValueError, AttributeError) as exc:
        if isinstance(exc, CrossrankError):
            raise
        raise CheckpointError(
            f"The configuration of {name!r} holds a value that cannot be: {exc}. Download or export the model again."
        ) from exc


@dataclass(frozen=True, slots=True)
class _Common:
    """What is read in the same way of every family."""

    name: str
    labels: int
    reading: Reading
    prompt: Prompt | None
    answers: AnswerStep | None
    limit: int  # tokens
    score_activation: ScoreActivation
    truncation_side: Literal["left", "right"]


def _own(config: Mapping[str, Any], family: Family, chain: Chain | None, common: _Common) -> ModelProfile:
    name, labels = common.name, common.labels
    layout = family.layout(config, name)
    pad_id = config.get("pad_token_id")
    pad_id = int(family.positions_from_padding) if pad_id is None else size(config, "pad_token_id", least=0)
    positions = size(config, "max_position_embeddings")
    usable = _usable(positions, pad_id + 1 if family.positions_from_padding else 0)
    hidden = size(config, "hidden_size")
    heads, kv_heads, head_size = _heads(config, hidden, layout)
    narrow = family.name in ("electra", "deberta-v2") and "embedding_size" in config
    rows = {} if family.segments is None else {"type_vocab_size": family.segments, **config}
    return ModelProfile(
        name=name,
        family=family,
        layout=layout,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        intermediate=size(config, "intermediate_size"),
        embedding=size(config, "embedding_size") if narrow else hidden,
        vocabulary=size(config, "vocab_size"),
        positions=positions,
        segments=size(rows, "type_vocab_size", least=min(family.segments, 1)) if family.segments is not None else 0,
        labels=labels,
        reading=common.reading,
        prompt=common.prompt,
        pooling=chain.pooling if chain else own_pooling(config, family, name),
        head=_head(config, family, layout, chain, common),
        modular=chain is not None,
        pad_id=pad_id,
        max_length=min(usable, common.limit, common.prompt.tokens_max if common.prompt else UNLIMITED),
        score_activation=common.score_activation,
        truncation_side=common.truncation_side,
    )


def _head(
    config: Mapping[str, Any], family: Family, layout: Layout, chain: Chain | None, common: _Common
) -> tuple[HeadStep, ...]:
    if common.answers is not None:
        return (common.answers,)
    return chain.head if chain else own_head(config, family, layout, common.labels, common.name)


def _foreign(config: Mapping[str, Any], common: _Common, because: str) -> ModelProfile:
    """What is known of a model that only transformers can run."""
    pad_id = size({"pad_token_id": 0, **config}, "pad_token_id", least=0)
    # Some count their positions from after the padding's; nothing in config.json tells which.
    positions = config.get("max_position_embeddings") or config.get("n_positions") or config.get("n_ctx")
    usable = UNLIMITED if positions is None else _usable(int(positions), pad_id + 1)
    return ModelProfile(
        name=common.name,
        family=foreign_family(config, str(_named(config))),
        layout=Layout(sights=(), activation="none", norm_eps=0.0),
        hidden=0,
        heads=0,
        kv_heads=0,
        head_size=0,
        intermediate=0,
        embedding=0,
        vocabulary=size(config, "vocab_size"),
        positions=0,
        segments=size({"type_vocab_size": 0, **config}, "type_vocab_size", least=0),
        labels=common.labels,
        reading=common.reading,
        prompt=common.prompt,
        pooling="first",
        head=(),
        modular=False,
        pad_id=pad_id,
        max_length=min(usable if common.limit == UNLIMITED else common.limit, FOREIGN_TOKENS_MAX),
        score_activation=common.score_activation,
        truncation_side=common.truncation_side,
        foreign_because=because,
    )


def _heads(config: Mapping[str, Any], hidden: int, layout: Layout) -> tuple[int, int, int]:
    """Heads of queries, of keys and values, and the columns of each."""
    heads = size(config, "num_attention_heads")
    if not layout.causal:
        if hidden % heads:
            raise ValueError(f"hidden_size {hidden} is no multiple of num_attention_heads {heads}")
        kv_heads, head_size = heads, hidden // heads
    else:
        kv_heads = size({"num_key_value_heads": heads, **_given(config)}, "num_key_value_heads")
        head_size = size({"head_dim": hidden // heads, **_given(config)}, "head_dim")
        if heads % kv_heads:
            raise ValueError(f"num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}")
    if layout.sights[0].theta and head_size % 2:
        raise ValueError(f"hidden_size {hidden} over num_attention_heads {heads} leaves odd heads, which cannot rotate")
    return heads, kv_heads, head_size


def _given(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _usable(positions: int, first: int) -> int:
    if positions <= first:
        raise ValueError(f"max_position_embeddings {positions} leaves no position for a token")
    return positions - first


def _check_architecture(config: Mapping[str, Any], family: Family | None, chain: Chain | None, name: str) -> None:
    named = _named(config)
    if family is None and (chain or config.get("auto_map") or not str(named).endswith(CLASSIFIER)):
        raise UnsupportedModelError(
            f"{name!r} is of the family {config['model_type']!r} ({named}); this version scores {', '.join(FAMILIES)}"
            + (
                ". Its code is in the checkpoint, and code of a checkpoint is never run."
                if config.get("auto_map")
                else f", and what transformers has as ...{CLASSIFIER}."
            )
        )
    expected = None if family is None else family.body if chain else family.architecture
    if expected and named != expected:
        raise UnsupportedModelError(
            f"{name!r} is a {named or 'model of no named architecture'}, which "
            + (
                f"is not what its modules are made for: they come after a {expected}."
                if chain
                else "has no reranking head: it is an embedding, language or other model. "
                f"A reranker of this family is a {expected}."
            )
        )
    learned = family is not None and family.tensors == "bert"
    if learned and (config.get("position_embedding_type") or "absolute") != "absolute":
        # transformers of today would read over it and score by other positions.
        raise UnsupportedModelError(
            f"{name!r} uses {config['position_embedding_type']!r} positions; only absolute ones are known"
        )


def _named(config: Mapping[str, Any]) -> str | None:
    architecture: str | None = (config.get("architectures") or [None])[0]
    return architecture


def _check_asked(prompt: Prompt | None, name: str) -> None:
    if prompt is None:
        raise UnsupportedModelError(
            f"{name!r} is a language model without a reranking head, and its files do not say how it is asked for "
            f"relevance. If it was trained as a reranker, name its template: template= one of {', '.join(PROMPTS)}."
        )


def _answers(config: Mapping[str, Any], modules: Any) -> AnswerStep:
    """Of a language model; ids that its modules do not hold are those of the template's words."""
    stored = modules if isinstance(modules, Answers) else Answers(UNKNOWN_ID, None)
    tied = flag(config, "tie_word_embeddings", default=config["model_type"] == "gemma")
    return AnswerStep("" if tied else "lm_head", stored.yes, stored.no)


def _labels(config: Mapping[str, Any], name: str) -> tuple[int, Reading]:
    """How many labels there are, and how they are read."""
    names = [str(label) for _, label in sorted((config.get("id2label") or {}).items(), key=lambda item: int(item[0]))]
    labels = len(names) or int(config.get("num_labels", 2))
    if labels == 1:
        return 1, "score"
    numbered = all(label.upper() in (f"LABEL_{i}", str(i)) for i, label in enumerate(names))
    if labels == 2 and (numbered or names[1].lower() in RELEVANT):
        return 2, "odds"
    if numbered and labels > 2:
        return labels, "grade"
    raise UnsupportedModelError(
        f"{name!r} has a head of {labels} labels ({', '.join(names[:6])}); a reranker has one, or two of which the "
        "second is relevance, or grades that are numbered from 0. It looks like a classifier."
    )


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
    saved = read_object(folder / "config_sentence_transformers.json", optional=True)
    return saved if saved.get("model_type") == "CrossEncoder" and (folder / "modules.json").is_file() else {}


def _check_prompts(sentence: Mapping[str, Any], name: str) -> None:
    prompt = sentence.get("default_prompt_name")
    if prompt is not None and (sentence.get("prompts") or {}).get(prompt):
        raise UnsupportedModelError(
            f"{name!r} puts a default prompt ({prompt!r}) before its texts, which is not supported yet"
        )
