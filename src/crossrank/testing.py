"""What tests need and no network has: tiny checkpoints made on the spot, and a backend whose logits are chosen.

For tests of crossrank and of applications that use it; nothing in the package imports it.
"""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.weights import tensor_table

CORPUS = (
    "The quick brown fox jumps over the lazy dog. How vexingly quick daft zebras jump!",
    "Charles Darwin published On the Origin of Species in 1859; natural selection is its theme.",
    "Python is a programming language. Guido van Rossum created it, and named it after Monty Python.",
    "Crème brûlée costs 12.50 € in Zürich; naïve façades in São Paulo don't.",
    "北京是中国的首都。東京は日本の首都です。 Москва — столица России.",
)
TOKENIZERS = {
    "bert": "BertTokenizer",
    "electra": "ElectraTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}


def tiny_checkpoint(
    folder: Path,
    family: str = "bert",
    *,
    hidden: int = 24,
    heads: int = 2,
    layers: int = 2,
    max_length: int = 64,
    seed: int = 0,
    dtype: str = "F32",
    config: dict[str, Any] | None = None,
) -> Path:
    """Write a random reranker of a family into `folder`, as its authors' tools would store it, and return the folder.

    Args:
        folder: made if it does not exist.
        family: bert, electra, roberta, xlm-roberta or modernbert.
        hidden: width; ELECTRA's embeddings are narrower, so that it has a projection.
        heads: attention heads; must divide `hidden`.
        layers: transformer layers.
        max_length: tokens the model can read.
        seed: of the random weights; equal seeds give equal files.
        dtype: of the stored weights: F32, F16 or BF16.
        config: entries that replace those of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = _special_names(family)
    classes = {"tokenizer_class": TOKENIZERS[family], "model_max_length": max_length, **names}
    _write_json(folder / "tokenizer_config.json", classes)
    settings = {
        "architectures": [FAMILIES[family].architecture],
        "model_type": family,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": 2 * hidden,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": max_length,
        "pad_token_id": tokenizer.token_to_id(names["pad_token"]),
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        **_own_settings(family, hidden=hidden, max_length=max_length),
    }
    _write_json(folder / "config.json", {**settings, **(config or {})})
    rng = np.random.default_rng(seed)
    table = tensor_table(read_profile(folder, family))
    weights = {source: _random(rng, source, shape) for source, _, shape in table}
    write_safetensors(folder / "model.safetensors", weights, dtype)
    return folder


def _own_settings(family: str, *, hidden: int, max_length: int) -> dict[str, Any]:
    """What config.json holds beside what it does for every family."""
    if family == "modernbert":  # as on the hub; transformers 5 writes other keys
        return {
            "hidden_activation": "gelu",
            "norm_eps": 1e-5,
            "local_attention": 16,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 160000.0,
            "local_rope_theta": 10000.0,
            "classifier_pooling": "mean",
        }
    past_padding = family in ("roberta", "xlm-roberta")
    return {
        "max_position_embeddings": max_length + 2 * past_padding,
        "type_vocab_size": 1 if past_padding else 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5 if past_padding else 1e-12,
        **({"embedding_size": hidden // 2} if family == "electra" else {}),
    }


def write_safetensors(file: Path, tensors: dict[str, NDArray[np.float32]], dtype: str = "F32") -> None:
    """Write tensors as F32, F16 or BF16; by hand, because numpy has no bfloat16 (the upper half of the fp32 bits)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, tensor in tensors.items():
        if dtype == "BF16":
            stored = ((tensor.view(np.uint32) + 0x8000) >> 16).astype("<u2").tobytes()
        else:
            stored = tensor.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        offsets = [len(content), len(content) + len(stored)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        content += stored
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    file.write_bytes(len(head).to_bytes(8, "little") + head + content)


class FakeBackend:
    """A backend whose logits come from a function of a row's token ids; counts what it was given.

    Args:
        logit: from a row's ids int32 [n] to its logit.
        limits: what it claims to take in one call.
    """

    def __init__(self, logit: Callable[[NDArray[np.int32]], float], limits: Limits | None = None) -> None:
        self.logit = logit
        self.limits = limits or Limits(tokens_max=512, rows_max=64)
        self.facts = BackendFacts("fake", "cpu", "fp32", 1, "fake")
        self.batches: list[Batch] = []
        self.exact_rows = 0

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """The function's value for each row, fp32 [rows, 1]."""
        self.batches.append(batch)
        rows = np.split(batch.ids, batch.offsets[1:-1])
        if exact:
            self.exact_rows += len(rows)
        return np.array([[self.logit(row)] for row in rows], np.float32)


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    # Keeps the scale of activations from layer to layer whatever the width, so that logits differ clearly between
    # pairs, and fp32 rounding stays far below that.
    deviation = 1.5 / shape[-1] ** 0.5 if len(shape) > 1 else 0.2
    values = rng.normal(0.0, deviation, shape).astype(np.float32)
    return values + np.float32(name.endswith(("LayerNorm.weight", "norm.weight")))


def _special_names(family: str) -> dict[str, str]:
    if family in ("bert", "electra", "modernbert"):
        return {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
    named = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    return {f"{name}_token": token for name, token in named.items()}


def _tokenizer(family: str) -> Any:
    """A real tokenizer of the family's kind, with a vocabulary from a few sentences."""
    if family in ("bert", "electra"):
        return _wordpiece()
    return _unigram() if family == "xlm-roberta" else _byte_bpe(family)


def _words() -> list[str]:
    """The corpus's words, each once, in a fixed order: trainers of tokenizers give another vocabulary each time."""
    return sorted({word for text in CORPUS for word in text.replace(".", " ").replace(",", " ").split()})


def _wordpiece() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    normalizer = normalizers.BertNormalizer(lowercase=True)
    words = [normalizer.normalize_str(word) for word in _words()]
    letters = sorted({letter for word in words for letter in word} | set(string.ascii_lowercase + string.digits + ".,"))
    halves = sorted({word[: len(word) // 2] for word in words} | {f"##{word[len(word) // 2 :]}" for word in words})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *halves, *words[::2]])
    vocabulary = {piece: i for i, piece in enumerate(piece for piece in pieces if piece.strip())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - not a password
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer


def _byte_bpe(family: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    cls, pad, sep, unk, mask = (
        _special_names(family)[f"{name}_token"] for name in ("cls", "pad", "sep", "unk", "mask")
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        show_progress=False,
        special_tokens=[cls, pad, sep, unk, mask],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = (
        processors.RobertaProcessing((sep, 2), (cls, 0), add_prefix_space=False)
        if family == "roberta"
        else processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B {sep}", special_tokens=[(cls, 0), (sep, 2)]
        )
    )
    return tokenizer


def _unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = sorted(
        {letter for word in _words() for letter in word} | set(string.ascii_letters + string.digits + ".,")
    )
    pieces = dict.fromkeys(
        ["\u2581", *letters, *(f"\u2581{word}" for word in _words()[::2]), *(w[1:] for w in _words())]
    )
    scored = [(piece, -3.0 - 1.0 / len(piece)) for piece in pieces if piece]
    vocabulary = [*((token, 0.0) for token in special), *scored, ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index("<unk>")))
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
