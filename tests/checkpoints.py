"""Checkpoints that `tiny_checkpoint` does not make: by other libraries, or changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tensors import tensor_table
from crossrank.checkpoint.weights import load_weights
from crossrank.testing import tiny_checkpoint, write_safetensors
from crossrank.testing.tokenizers import CORPUS

SENTENCE = "config_sentence_transformers.json"
MODULE = "sentence_transformers.base.modules.transformer.Transformer"
SETTINGS = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
}


def with_labels(checkpoint: Callable[..., Path], family: str, count: int) -> Path:
    """A tiny classifier of so many labels."""
    names = {str(i): f"LABEL_{i}" for i in range(count)}
    return checkpoint(family, config={"id2label": names, "label2id": {name: int(i) for i, name in names.items()}})


def changed_checkpoint(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> Path:
    """A tiny checkpoint whose weights, by the engine's names, were changed."""
    tiny_checkpoint(folder)
    profile = read_profile(folder, "changed")
    names = {canonical: source for source, (canonical, *_), _ in tensor_table(profile)}
    weights = {name: np.array(tensor) for name, tensor in load_weights(folder, profile).items()}
    change(weights)
    write_safetensors(folder / "model.safetensors", {names[name]: tensor for name, tensor in weights.items()})
    return folder


def save_as_cross_encoder(folder: Path, settings: dict[str, Any] | None = None, **saved: Any) -> None:
    """Add the files that CrossEncoder.save_pretrained writes beside those of transformers."""
    files = {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": MODULE}],
        "sentence_bert_config.json": SETTINGS | (settings or {}),
        SENTENCE: {"model_type": "CrossEncoder", **saved},
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content), encoding="utf-8")


def foreign_checkpoint(name: str, tokenized: Path, folder: Path, labels: int = 1) -> Path:
    """A random classifier of a family that crossrank has no net for, with the tokenizer of a tiny BERT."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    vocabulary = json.loads((tokenized / "config.json").read_text())["vocab_size"]
    sizes = {
        "distilbert": {"dim": 24, "n_heads": 2, "n_layers": 2, "hidden_dim": 48},
        "albert": {"hidden_size": 24, "embedding_size": 12, "num_attention_heads": 2, "intermediate_size": 48},
        "mpnet": {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48},
    }[name]
    config = AutoConfig.for_model(
        name, vocab_size=vocabulary, num_labels=labels, max_position_embeddings=80, pad_token_id=0, **sizes
    )
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_text((tokenized / file).read_text())
    return folder


TEMPLATES = ("monot5", "monot5-yes-no", "monot5-sim-nao", "rankt5")


def t5_tokenizer() -> Any:
    """As google-t5/t5-base stores it: words first, then pieces, </s> after a text, a hundred sentinels last."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    words = sorted({word for text in CORPUS for word in text.replace(".", " ").replace(",", " ").split()})
    letters = sorted(
        {letter for word in words for letter in word} | set("abcdefghijklmnopqrstuvwxyz0123456789.,:?<>/_")
    )
    asked = ["▁Query", "▁Document", "▁Relevant", "▁true", "▁false", "▁yes", "▁no", "▁sim", "▁não"]
    pieces = dict.fromkeys(["▁", *asked, *letters, *(f"▁{word}" for word in words[::2])])
    special = ["<pad>", "</s>", "<unk>"]
    scored = [*((token, 0.0) for token in special), *((piece, -3.0 - 1.0 / len(piece)) for piece in pieces)]
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(100))]
    tokenizer = Tokenizer(models.Unigram([*scored, *((token, 0.0) for token in sentinels)], unk_id=2))
    tokenizer.add_special_tokens([*special, *sentinels])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def t5_checkpoint(folder: Path, kind: str = "t5", **config: Any) -> Path:
    """A random encoder-decoder, written by transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    sizes = {"d_model": 24, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    settings = AutoConfig.for_model(kind, vocab_size=tokenizer.get_vocab_size() + 28, **sizes, **ids, **config)
    model = AutoModelForSeq2SeqLM.from_config(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.4)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "eos_token": "</s>", "unk_token": "<unk>"}))
    return folder
