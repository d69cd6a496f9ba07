"""Real tokenizers of each family's kind, with a vocabulary from a few sentences."""

import string
from typing import Any

CORPUS = (
    "The quick brown fox jumps over the lazy dog. How vexingly quick daft zebras jump!",
    "Charles Darwin published On the Origin of Species in 1859; natural selection is its theme.",
    "Python is a programming language. Guido van Rossum created it, and named it after Monty Python.",
    "Crème brûlée costs 12.50 € in Zürich; naïve façades in São Paulo don't.",
    "北京是中国的首都。東京は日本の首都です。 Москва — столица России.",
)
BRACKETED = ("bert", "electra", "modernbert", "deberta-v2")  # write their special tokens as [CLS]
CLASSES = {
    "bert": "BertTokenizer",
    "electra": "ElectraTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}  # of all others: PreTrainedTokenizerFast
ASKED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "minicpm-layerwise")  # may be asked in words
UNIGRAM = ("xlm-roberta", "xlm-roberta-flash", "camembert", "deberta-v2")
CHAT = ("<|im_start|>", "<|im_end|>", "<bos>")  # tokens of their prompts
ANSWERS = ("yes", "no", "Yes") * 99
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special_names(family: str) -> dict[str, str]:
    if family in BRACKETED:
        return {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
    named = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    return {f"{name}_token": token for name, token in named.items()}


def tokenizer_of(family: str) -> Any:
    """A real tokenizer of the family's kind, with a vocabulary from a few sentences."""
    if family in ("bert", "electra"):
        return _wordpiece()
    return _unigram(family) if family in UNIGRAM else _byte_bpe(family)


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
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    cls, pad, sep, unk, mask = (special_names(family)[f"{name}_token"] for name in ("cls", "pad", "sep", "unk", "mask"))
    tokenizer = Tokenizer(models.BPE())
    if family == "qwen2":
        # transformers puts these two there whatever the file says.
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    asked = family in ASKED
    trainer = trainers.BpeTrainer(
        vocab_size=600 if asked else 500,
        show_progress=False,
        special_tokens=[cls, pad, sep, unk, mask, *(CHAT if asked else ())],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator([*CORPUS, *(ANSWERS if asked else ())], trainer)
    tokenizer.post_processor = (
        processors.RobertaProcessing((sep, 2), (cls, 0), add_prefix_space=False)
        if family in ("roberta", "jina-bert")
        else processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B {sep}", special_tokens=[(cls, 0), (sep, 2)]
        )
    )
    return tokenizer


def _unigram(family: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    names = special_names(family)
    cls, pad, sep, unk, mask = (names[f"{name}_token"] for name in ("cls", "pad", "sep", "unk", "mask"))
    special = [pad, cls, sep, unk] if family == "deberta-v2" else [cls, pad, sep, unk]
    letters = sorted(
        {letter for word in _words() for letter in word} | set(string.ascii_letters + string.digits + ".,")
    )
    pieces = dict.fromkeys(
        ["\u2581", *letters, *(f"\u2581{word}" for word in _words()[::2]), *(w[1:] for w in _words())]
    )
    scored = [(piece, -3.0 - 1.0 / len(piece)) for piece in pieces if piece]
    vocabulary = [*((token, 0.0) for token in special), *scored, (mask, 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index(unk)))
    tokenizer.add_special_tokens([*special, mask])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1" if family == "deberta-v2" else f"{cls} $A {sep} {sep} $B {sep}",
        special_tokens=[(cls, special.index(cls)), (sep, 2)],
    )
    return tokenizer
