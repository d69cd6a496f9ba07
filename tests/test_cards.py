"""The examples of the model cards, in each form of instruction: text and ids are those that the card would make.

Tokenizers are made on the spot, of each family's kind, with the special tokens that the cards' texts hold. The ids are
those of the parts that the authors' code tokenises by themselves, laid end to end.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from checkpoints import TEMPLATES, t5_tokenizer
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.checkpoint.tokenizer import prompt_template
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.pair import Pair
from crossrank.testing.tokenizers import tokenizer_of

CHINA = ("What is the capital of China?", "The capital of China is Beijing.")
MOCKINGBIRD = (
    "Who wrote 'To Kill a Mockingbird'?",
    (
        "'To Kill a Mockingbird' is a novel by Harper Lee published in 1960. It was immediately successful, winning "
        "the Pulitzer Prize, and has become a classic of modern American literature."
    ),
)
PANDA = (
    "what is panda?",
    (
        "The giant panda (Ailuropoda melanoleuca), sometimes called a panda bear or simply panda, is a bear species "
        "endemic to China."
    ),
)
QWEN3 = (
    (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    ),
    "<Instruct>: {}\n<Query>: What is the capital of China?\n<Document>: The capital of China is Beijing.",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)
MXBAI = (
    (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n"
    ),
    "{}query: Who wrote 'To Kill a Mockingbird'?",
    "\n",
    f"document: {MOCKINGBIRD[1]}",
    "\n",
    (
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    ),
    "<|im_end|>\n<|im_start|>assistant\n",
)
BGE = ("{begin}", "A: what is panda?", "\n", f"B: {PANDA[1]}", "\n", "{}")
PASSAGE_B = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)
MEDICAL = "Given a medical question, retrieve passages that answer it"
WEB = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True)
class Card:
    """What a card's example comes to: the prompt, the family of its tokenizer, the pair, the parts with a place."""

    prompt: str
    family: str
    pair: tuple[str, str]
    parts: tuple[str, ...]
    default: str  # what stands in the place without an instruction
    told: str = "{}"  # how an instruction stands there
    begin: str = ""

    def texts(self, instruction: str | None) -> list[str]:
        put = self.default if instruction is None else self.told.replace("{}", instruction)
        return [part.replace("{begin}", self.begin).replace("{}", put) for part in self.parts]


CARDS = (
    Card("qwen3-reranker", "qwen3", CHINA, QWEN3, WEB),
    Card("mxbai-rerank-v2", "qwen2", MOCKINGBIRD, MXBAI, "", told="instruction: {}\n"),
    Card("bge-reranker-gemma", "gemma", PANDA, BGE, PASSAGE_B, begin="<bos>"),
    Card("bge-reranker-layerwise", "minicpm-layerwise", PANDA, BGE, PASSAGE_B, begin="<s>"),
)


def encoder_of(tokenizer: Any, name: str) -> Encoder:
    """Of a prompt, without any model."""
    asked = partial(prompt_template, tokenizer, PROMPTS[name])
    return Encoder(tokenizer, asked(None), EncodeConfig(max_length=4_096), asked)


@pytest.mark.parametrize("instruction", [None, MEDICAL, "Find code.\nIn {query}?"])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.prompt)
def test_the_text_and_the_ids_are_the_cards(card: Card, instruction: str | None) -> None:
    """Without an instruction it is the authors' own, or none at all; one with braces in it stays as it is."""
    tokenizer = tokenizer_of(card.family)
    tokenizer.add_special_tokens(["<think>", "</think>"])
    (encoded,) = encoder_of(tokenizer, card.prompt).encode([Pair(*card.pair, instruction or "")], {})
    ids = encoded.rows[0].ids.tolist()
    texts = card.texts(instruction)
    assert tokenizer.decode(ids, skip_special_tokens=False) == "".join(texts)
    assert ids == [i for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids]
    special = {token for token in ("<|im_start|>", "<|im_end|>", "<think>", "<bos>", "<s>") if token in "".join(texts)}
    assert special
    assert all(tokenizer.token_to_id(token) in ids for token in special)


@pytest.mark.parametrize("name", TEMPLATES)
def test_encoder_decoders_read_the_whole_text(name: str) -> None:
    """As pygaggle and ListT5's script write it, with the end that T5's tokenizer adds."""
    tokenizer = t5_tokenizer()
    (encoded,) = encoder_of(tokenizer, name).encode([Pair(*CHINA)], {})
    text = "Query: What is the capital of China? Document: The capital of China is Beijing."
    whole = tokenizer.encode(text if name == "rankt5" else f"{text} Relevant:")
    assert encoded.rows[0].ids.tolist() == whole.ids
    assert whole.tokens[-1] == "</s>"


def test_every_prompt_has_a_card() -> None:
    """A template that is added needs its example here."""
    assert {card.prompt for card in CARDS} | set(TEMPLATES) == set(PROMPTS)
