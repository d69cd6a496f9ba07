"""What the tensors of each family are called and shaped in a checkpoint, and what the engines call them.

It knows profiles; not files, nor what is computed.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from crossrank.checkpoint.families import AnswerStep, NormStep
from crossrank.checkpoint.profile import ModelProfile

ANSWERS = "answers"  # a language model's last layer, of which `load_weights` keeps two rows


class Entry(NamedTuple):
    """A tensor of a checkpoint: its name there, the canonical names of what its rows are in equal parts, its shape."""

    source: str
    canonicals: tuple[str, ...]
    shape: tuple[int, ...]


def tensor_table(profile: ModelProfile) -> list[Entry]:
    """Every tensor of the architecture.

    Canonical names are the engine's: a norm is called after what was added to the residual stream before it, be it the
    last norm of its layer or the first one of the next.
    """
    assert not profile.family.foreign, "bug: only transformers knows these tensors"
    table = BODIES[profile.family.tensors](profile, "" if profile.modular else profile.family.prefix)
    columns = profile.hidden
    for i, step in enumerate(profile.head):
        if isinstance(step, AnswerStep):
            if step.source:  # else the embeddings serve
                table.append(Entry(f"{step.source}.weight", (ANSWERS,), (profile.vocabulary, columns)))
            continue
        shape = (columns,) if isinstance(step, NormStep) else (step.out, columns)
        table += _affine(step.source, f"head.{i}", *shape, bias=step.bias)
        columns = shape[0]
    return table


def _bert(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, e = prefix, profile.hidden, profile.embedding
    table = [
        Entry(f"{p}embeddings.word_embeddings.weight", ("embeddings.word",), (profile.vocabulary, e)),
        Entry(f"{p}embeddings.position_embeddings.weight", ("embeddings.position",), (profile.positions, e)),
        Entry(f"{p}embeddings.token_type_embeddings.weight", ("embeddings.type",), (profile.segments, e)),
        *_affine(f"{p}embeddings.LayerNorm", "embeddings.norm", e),
    ]
    if e != h:
        table += _affine(f"{p}embeddings_project", "embeddings.project", h, e)
    for i in range(profile.layers):
        table += _post_norm_layer(profile, f"{p}encoder.layer.{i}", f"layers.{i}", ("query", "key", "value"))
    return table


def _flash(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, inner = prefix, profile.hidden, profile.intermediate
    table = [
        Entry(f"{p}embeddings.word_embeddings.weight", ("embeddings.word",), (profile.vocabulary, h)),
        Entry(f"{p}embeddings.position_embeddings.weight", ("embeddings.position",), (profile.positions, h)),
        Entry(f"{p}embeddings.token_type_embeddings.weight", ("embeddings.type",), (profile.segments, h)),
        *_affine(f"{p}emb_ln", "embeddings.norm", h),
    ]
    for i in range(profile.layers):
        source, layer = f"{p}encoder.layers.{i}", f"layers.{i}"
        table += _affine(f"{source}.mixer.Wqkv", _qkv(layer), 3 * h, h)
        table += _affine(f"{source}.mixer.out_proj", f"{layer}.attention.output", h, h)
        table += _affine(f"{source}.norm1", f"{layer}.attention.norm", h)
        table += _affine(f"{source}.mlp.fc1", f"{layer}.ffn.up", inner, h)
        table += _affine(f"{source}.mlp.fc2", f"{layer}.ffn.down", h, inner)
        table += _affine(f"{source}.norm2", f"{layer}.ffn.norm", h)
    return table


def _jina_bert(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, inner = prefix, profile.hidden, profile.intermediate
    table = [
        Entry(f"{p}embeddings.word_embeddings.weight", ("embeddings.word",), (profile.vocabulary, h)),
        Entry(f"{p}embeddings.token_type_embeddings.weight", ("embeddings.type",), (profile.segments, h)),
        *_affine(f"{p}embeddings.LayerNorm", "embeddings.norm", h),
    ]
    for i in range(profile.layers):
        source, layer = f"{p}encoder.layer.{i}", f"layers.{i}"
        for part in ("query", "key", "value"):
            table += _affine(f"{source}.attention.self.{part}", f"{layer}.attention.{part}", h, h)
        table += _affine(f"{source}.attention.output.dense", f"{layer}.attention.output", h, h)
        table += _affine(f"{source}.attention.output.LayerNorm", f"{layer}.attention.norm", h)
        wide = (f"{layer}.ffn.up", f"{layer}.ffn.gate")  # the activation is of the first half
        table += _affine(f"{source}.mlp.gated_layers", wide, 2 * inner, h, bias=False)
        table += _affine(f"{source}.mlp.wo", f"{layer}.ffn.down", h, inner)
        table += _affine(f"{source}.mlp.layernorm", f"{layer}.ffn.norm", h)
    return table


def _deberta(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, e = prefix, profile.hidden, profile.embedding
    relative = profile.layout.relative
    assert relative is not None, "bug: a DeBERTa without relative attention"
    table = [Entry(f"{p}embeddings.word_embeddings.weight", ("embeddings.word",), (profile.vocabulary, e))]
    if profile.layout.learned_positions:
        source = f"{p}embeddings.position_embeddings.weight"
        table.append(Entry(source, ("embeddings.position",), (profile.positions, e)))
    if profile.segments:
        source = f"{p}embeddings.token_type_embeddings.weight"
        table.append(Entry(source, ("embeddings.type",), (profile.segments, e)))
    if e != h:
        table += _affine(f"{p}embeddings.embed_proj", "embeddings.project", h, e, bias=False)
    table += _affine(f"{p}embeddings.LayerNorm", "embeddings.norm", h)
    table.append(Entry(f"{p}encoder.rel_embeddings.weight", ("distances",), (2 * relative.span, h)))
    if relative.normed:
        table += _affine(f"{p}encoder.LayerNorm", "distances.norm", h)
    for i in range(profile.layers):
        source, layer = f"{p}encoder.layer.{i}", f"layers.{i}"
        table += _post_norm_layer(profile, source, layer, ("query_proj", "key_proj", "value_proj"))
        if relative.content_to_position and not relative.shared:
            table += _affine(f"{source}.attention.self.pos_key_proj", f"{layer}.attention.far_key", h, h)
        if relative.position_to_content and not relative.shared:
            table += _affine(f"{source}.attention.self.pos_query_proj", f"{layer}.attention.far_query", h, h)
    return table


def _post_norm_layer(profile: ModelProfile, source: str, layer: str, named: tuple[str, str, str]) -> list[Entry]:
    h, inner = profile.hidden, profile.intermediate
    table: list[Entry] = []
    for part, name in zip(("query", "key", "value"), named, strict=True):
        table += _affine(f"{source}.attention.self.{name}", f"{layer}.attention.{part}", h, h)
    table += _affine(f"{source}.attention.output.dense", f"{layer}.attention.output", h, h)
    table += _affine(f"{source}.attention.output.LayerNorm", f"{layer}.attention.norm", h)
    table += _affine(f"{source}.intermediate.dense", f"{layer}.ffn.up", inner, h)
    table += _affine(f"{source}.output.dense", f"{layer}.ffn.down", h, inner)
    table += _affine(f"{source}.output.LayerNorm", f"{layer}.ffn.norm", h)
    return table


def _modernbert(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, inner, layout = prefix, profile.hidden, profile.intermediate, profile.layout
    ffn, norm = layout.ffn_bias, layout.norm_bias
    table = [
        Entry(f"{p}embeddings.tok_embeddings.weight", ("embeddings.word",), (profile.vocabulary, h)),
        *_affine(f"{p}embeddings.norm", "embeddings.norm", h, bias=norm),
    ]
    for i in range(profile.layers):
        source, layer = f"{p}layers.{i}", f"layers.{i}"
        after = f"{p}layers.{i + 1}.attn_norm" if i + 1 < profile.layers else f"{p}final_norm"
        table += _affine(f"{source}.attn.Wqkv", _qkv(layer), 3 * h, h, bias=layout.qkv_bias)
        table += _affine(f"{source}.attn.Wo", f"{layer}.attention.output", h, h, bias=layout.output_bias)
        table += _affine(f"{source}.mlp_norm", f"{layer}.attention.norm", h, bias=norm)
        table += _affine(f"{source}.mlp.Wi", (f"{layer}.ffn.up", f"{layer}.ffn.gate"), 2 * inner, h, bias=ffn)
        table += _affine(f"{source}.mlp.Wo", f"{layer}.ffn.down", h, inner, bias=ffn)
        table += _affine(after, f"{layer}.ffn.norm", h, bias=norm)
    return table


def _decoder(profile: ModelProfile, prefix: str) -> list[Entry]:
    p, h, inner, layout = prefix, profile.hidden, profile.intermediate, profile.layout
    queries, keys = profile.heads * profile.head_size, profile.kv_heads * profile.head_size
    table = [
        Entry(f"{p}embed_tokens.weight", ("embeddings.word",), (profile.vocabulary, h)),
        *_affine(f"{p}layers.0.input_layernorm", "first_norm", h, bias=False),
    ]
    for i in range(profile.layers):
        source, layer = f"{p}layers.{i}", f"layers.{i}"
        after = f"{p}layers.{i + 1}.input_layernorm" if i + 1 < profile.layers else f"{p}norm"
        for part, columns in (("query", queries), ("key", keys), ("value", keys)):
            name = f"{source}.self_attn.{part[0]}_proj"
            table += _affine(name, f"{layer}.attention.{part}", columns, h, bias=layout.qkv_bias)
        if layout.query_key_norm:
            table += _affine(
                f"{source}.self_attn.q_norm", f"{layer}.attention.query_norm", profile.head_size, bias=False
            )
            table += _affine(f"{source}.self_attn.k_norm", f"{layer}.attention.key_norm", profile.head_size, bias=False)
        output = f"{layer}.attention.output"
        table += _affine(f"{source}.self_attn.o_proj", output, h, queries, bias=layout.output_bias)
        table += _affine(f"{source}.post_attention_layernorm", f"{layer}.attention.norm", h, bias=False)
        # The activation is of what the checkpoint calls the gate.
        table += _affine(f"{source}.mlp.gate_proj", f"{layer}.ffn.up", inner, h, bias=layout.ffn_bias)
        table += _affine(f"{source}.mlp.up_proj", f"{layer}.ffn.gate", inner, h, bias=layout.ffn_bias)
        table += _affine(f"{source}.mlp.down_proj", f"{layer}.ffn.down", h, inner, bias=layout.ffn_bias)
        table += _affine(after, f"{layer}.ffn.norm", h, bias=False)
    return table


BODIES: Mapping[str, Callable[[ModelProfile, str], list[Entry]]] = {
    "bert": _bert,
    "flash": _flash,
    "jina-bert": _jina_bert,
    "modernbert": _modernbert,
    "deberta": _deberta,
    "decoder": _decoder,
}


def _qkv(layer: str) -> tuple[str, ...]:
    return tuple(f"{layer}.attention.{part}" for part in ("query", "key", "value"))


def _affine(source: str, canonical: str | tuple[str, ...], *weight: int, bias: bool = True) -> list[Entry]:
    names = (canonical,) if isinstance(canonical, str) else canonical
    entries = [Entry(f"{source}.weight", tuple(f"{name}.weight" for name in names), weight)]
    if bias:
        entries.append(Entry(f"{source}.bias", tuple(f"{name}.bias" for name in names), weight[:1]))
    return entries
