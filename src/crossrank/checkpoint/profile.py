"""A checkpoint's configuration files, read once into one frozen value; every per-model exception lives here as data.

It knows configuration files; not weights, tokens, documents or any engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from crossrank.checkpoint.architecture import (
    check_architecture,
    check_asked,
    check_refused,
    family_of,
    named,
    unverified,
)
from crossrank.checkpoint.catalogue import golden, known_template
from crossrank.checkpoint.families import (
    AnswerStep,
    DenseStep,
    Family,
    HeadStep,
    Pooling,
    exits_of,
    foreign_family,
    own_head,
    own_pooling,
)
from crossrank.checkpoint.layouts import Layout
from crossrank.checkpoint.modules import Answers, Chain, read_chain
from crossrank.checkpoint.prompts import Prompt, read_prompt
from crossrank.checkpoint.reading import (
    ACTIVATION_OF,
    ONE_LABEL,
    Reading,
    ScoreActivation,
    read_activation,
    read_cross_encoder,
    read_labels,
)
from crossrank.checkpoint.settings import flag, read_object, size
from crossrank.errors import CheckpointError, CrossrankError, UnsupportedModelError, UsageError

UNLIMITED = 1_000_000  # tokenizers without a limit write 1e30
FOREIGN_TOKENS_MAX = 8_192  # of a model that states no limit
UNKNOWN_ID = -1  # until the tokenizer says
NO_EXITS = range(0)


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
    lowercase: bool = False  # texts are made so before the tokenizer's own normaliser sees them
    foreign_because: str = ""  # why only transformers can run it
    unverified: str = ""  # why nobody knows whether its scores are those of its authors' code
    exits: range = NO_EXITS  # the layers after which it could stop; `layers` is the one that was chosen
    unread: tuple[str, ...] = ()  # what the tensors that come after that one are called, at the beginning

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


def read_profile(
    folder: Path, name: str, *, template: str | None = None, layer: int | None = None, classes: bool = False
) -> ModelProfile:
    """Read config.json, tokenizer_config.json and the sentence-transformers files of a checkpoint.

    Args:
        folder: of the checkpoint.
        name: of the model, for messages.
        template: which prompt it was trained with, where its files do not tell.
        layer: after which to stop, of a model with early exits; None: after the last.
        classes: take a classifier too, whose labels are no grades of relevance.

    Raises:
        UsageError: the model has no early exit, or none there.
        CheckpointError: a file is missing, broken, or lacks a value.
        UnsupportedModelError: the architecture, its head or its modules are none that can be scored.
    """
    config = read_object(folder / "config.json")
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True)
    settings = read_object(folder / "sentence_bert_config.json", optional=True)
    try:
        check_refused(config, name)
        sentence = read_cross_encoder(folder, name)
        modules = read_chain(folder, settings, lambda: size(config, "hidden_size"), name)
        chain = modules if isinstance(modules, Chain) else None
        known = family_of(config)
        prompt = read_prompt(folder, tokenizer, template or known_template(name))
        asked = known is not None and bool(known.language_model) and named(config) == known.language_model
        exits = exits_of(config, known, name) if known is not None else NO_EXITS
        _check_layer(layer, exits, name)
        if asked or exits:
            check_asked(config, prompt, name)
        if isinstance(modules, Answers) and not asked:
            raise UnsupportedModelError(
                f"{name!r} has the modules Transformer -> LogitScore, which are for a language model, but is a "
                f"{named(config)}."
            )
        if not asked:
            check_architecture(config, known, chain, name)
        labels, reading = ONE_LABEL if chain or asked or exits else read_labels(config, name, classes=classes)
        common = _Common(
            name=name,
            labels=labels,
            reading=reading,
            prompt=prompt,
            answers=_answers(config, known, modules) if asked and known else None,
            limit=min(_limit(tokenizer), _limit(settings if sentence else {}, "max_seq_length")),
            score_activation=ACTIVATION_OF[reading] or read_activation(config, sentence, name),
            truncation_side="left" if tokenizer.get("truncation_side") == "left" else "right",
            lowercase=flag(settings if sentence else {}, "do_lower_case", default=False),
            unverified="" if golden(name) else unverified(config, known),
            exits=exits,
            layer=layer or max(exits, default=0),
        )
        if known is None or known.foreign:
            family = known or foreign_family(config, named(config))
            return _foreign(config, family, common, f"{name!r} is of the family {config['model_type']!r}")
        try:
            return _own(config, known, chain, common)
        except UnsupportedModelError as exc:
            if chain or asked or known.remote_code:
                raise
            return _foreign(config, foreign_family(config, named(config)), common, str(exc))
    except KeyError as exc:
        raise CheckpointError(
            f"config.json of {name!r} lacks {exc}; the checkpoint is incomplete. Download or export the model again."
        ) from exc
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as exc:
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
    lowercase: bool
    unverified: str
    exits: range
    layer: int  # after which to stop; 0 where there are no exits


def _own(config: Mapping[str, Any], family: Family, chain: Chain | None, common: _Common) -> ModelProfile:
    name, labels = common.name, common.labels
    layout = family.layout(config, name)
    unread: tuple[str, ...] = ()
    if common.exits:
        layout, unread = _stopped(layout, family, common)
    pad_id = config.get("pad_token_id")
    pad_id = int(family.positions_from_padding) if pad_id is None else size(config, "pad_token_id", least=0)
    positions = size(config, "max_position_embeddings")
    usable = _usable(positions, pad_id + 1 if family.positions_from_padding else 0)
    hidden = size(config, "hidden_size")
    heads, kv_heads, head_size = _heads(config, hidden, layout)
    narrow = family.narrow and "embedding_size" in config
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
        lowercase=common.lowercase,
        unverified=common.unverified,
        exits=common.exits,
        unread=unread,
    )


def _stopped(layout: Layout, family: Family, common: _Common) -> tuple[Layout, tuple[str, ...]]:
    """The layers up to the one that was chosen, and what is not read then: those after it, and the others' heads."""
    after = (f"{family.prefix}layers.{i}." for i in range(common.layer, len(layout.sights)))
    others = (f"{family.exits.format(i)}." for i, layer in enumerate(common.exits) if layer != common.layer)
    return replace(layout, sights=layout.sights[: common.layer]), (*after, *others)


def _head(
    config: Mapping[str, Any], family: Family, layout: Layout, chain: Chain | None, common: _Common
) -> tuple[HeadStep, ...]:
    if common.answers is not None:
        return (common.answers,)
    if common.exits:
        return (DenseStep(family.exits.format(common.exits.index(common.layer)), 1, bias=False),)
    return chain.head if chain else own_head(config, family, layout, common.labels, common.name)


def _foreign(config: Mapping[str, Any], family: Family, common: _Common, because: str) -> ModelProfile:
    """What is known of a model that only transformers can run."""
    pad_id = size({"pad_token_id": 0, **config}, "pad_token_id", least=0)
    # Some count their positions from after the padding's; nothing in config.json tells which.
    positions = config.get("max_position_embeddings") or config.get("n_positions") or config.get("n_ctx")
    usable = UNLIMITED if positions is None else _usable(int(positions), pad_id + 1)
    return ModelProfile(
        name=common.name,
        family=family,
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
        head=() if common.answers is None else (common.answers,),
        modular=False,
        pad_id=pad_id,
        max_length=min(
            usable if common.limit == UNLIMITED else common.limit,
            common.prompt.tokens_max if common.prompt else FOREIGN_TOKENS_MAX,
        ),
        score_activation=common.score_activation,
        truncation_side=common.truncation_side,
        lowercase=common.lowercase,
        foreign_because=because,
        unverified=common.unverified,
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


def _check_layer(layer: int | None, exits: range, name: str) -> None:
    if layer is None:
        return
    if not exits:
        raise UsageError(f"layer={layer!r}: {name!r} has no early exits; it gives a score after its last layer only.")
    if isinstance(layer, bool) or not isinstance(layer, int) or layer not in exits:
        raise UsageError(f"layer={layer!r}: {name!r} can stop after the layers {exits[0]} to {exits[-1]}.")


def _answers(config: Mapping[str, Any], family: Family, modules: Any) -> AnswerStep:
    """Of a language model; ids that its modules do not hold are those of the template's words."""
    stored = modules if isinstance(modules, Answers) else Answers(UNKNOWN_ID, None)
    tied = flag(config, "tie_word_embeddings", default=family.tied)
    return AnswerStep("" if tied else "lm_head", stored.yes, stored.no)


def _limit(config: Mapping[str, Any], key: str = "model_max_length") -> int:
    limit = config.get(key)
    return int(limit) if limit is not None and 0 < limit < UNLIMITED else UNLIMITED
