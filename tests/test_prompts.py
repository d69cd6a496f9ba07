"""Rerankers that are asked in words: the ids are those of their authors' own code, the logits those of transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Reranker, errors
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from parity import QUERIES, TEXTS, TOLERANCE

QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
PASSAGE_B = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)
MODELS = {"qwen3-reranker": "qwen3", "mxbai-rerank-v2": "qwen2", "bge-reranker-gemma": "gemma"}
TEXT = st.text(alphabet=st.sampled_from("abcdef 12.?!\n\tüé北(-'"), max_size=40)
PAIRS = [(query, text) for query in (*QUERIES, "is it so?", "a list:\n- one") for text in TEXTS]


@pytest.fixture(scope="session")
def asked(checkpoint: Callable[..., Path]) -> Callable[[str], Path]:
    """Makes a tiny language model for a template."""
    return lambda template: checkpoint(MODELS[template], template=template, max_length=1024)


def opened(folder: Path, template: str, **options: Any) -> Reranker:
    """The model on the CPU in fp32."""
    given = {"precision": "fp32", "long_documents": "truncate", "cache": None, **options}
    return Reranker(str(folder), template=template, device="cpu", **given)


def qwen3_ids(tokenizer: Any, query: str, document: str, instruction: str | None) -> list[int]:
    """As the card of Qwen3-Reranker builds them: prefix, one text, suffix, each tokenised by itself."""
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    text = f"<Instruct>: {instruction or QWEN3_TASK}\n<Query>: {query}\n<Document>: {document}"
    return [i for part in (prefix, text, suffix) for i in tokenizer.encode(part, add_special_tokens=False)]


def mxbai_ids(tokenizer: Any, query: str, document: str, instruction: str | None) -> list[int]:
    """As mxbai_rerank_v2.py of the package mxbai-rerank builds them."""
    chat = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    )
    asked = f"query: {query}" if instruction is None else f"instruction: {instruction}\nquery: {query}"
    parts = (
        chat + "<|im_start|>user\n",
        asked,
        "\n",
        f"document: {document}",
        "\n",
        task,
        "<|im_end|>\n<|im_start|>assistant\n",
    )
    return [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False)]


def gemma_ids(tokenizer: Any, query: str, document: str, instruction: str | None) -> list[int]:
    """As the card of bge-reranker-v2-gemma builds them."""
    prompt = instruction or PASSAGE_B
    parts = (f"A: {query}", "\n", f"B: {document}", "\n", prompt)
    ids = [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False)]
    return [tokenizer.convert_tokens_to_ids("<bos>"), *ids]


REFERENCES = {"qwen3-reranker": qwen3_ids, "mxbai-rerank-v2": mxbai_ids, "bge-reranker-gemma": gemma_ids}


@pytest.mark.property
@pytest.mark.parametrize("template", MODELS)
@given(query=TEXT, document=TEXT, instruction=st.none() | st.sampled_from(["Find code.", "{query}? {document}\n"]))
def test_ids_are_those_of_the_authors(
    template: str, asked: Callable[[str], Path], query: str, document: str, instruction: str | None
) -> None:
    """Any query, document and instruction, whatever its first and last signs are."""
    from transformers import AutoTokenizer

    folder = asked(template)
    scorer = open_scorer(OpenConfig(str(folder), template=template, device="cpu"))
    (encoded,) = scorer.encoder.encode([Pair(query, document, instruction or "")], {})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert encoded.rows[0].ids.tolist() == REFERENCES[template](tokenizer, query, document, instruction)


@pytest.mark.parametrize("template", MODELS)
def test_logits_are_those_of_the_language_model(template: str, asked: Callable[[str], Path]) -> None:
    """The answer's logit at the last token, less that of the other answer where there is one: <= 1e-4."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = asked(template)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = PROMPTS[template]
    yes = tokenizer.encode(prompt.yes, add_special_tokens=False)
    no = tokenizer.encode(prompt.no or "x", add_special_tokens=False)
    assert len(yes) == len(no) == 1
    expected = []
    with torch.inference_mode():
        for query, document in PAIRS:
            last = model(torch.tensor([REFERENCES[template](tokenizer, query, document, None)])).logits[0, -1]
            expected.append(float(last[yes[0]] - (last[no[0]] if prompt.no else 0)))
    assert np.ptp(expected) > 0.5
    with opened(folder, template) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS, raw=True), expected, atol=TOLERANCE, rtol=0)


def test_an_instruction_changes_what_is_asked(asked: Callable[[str], Path]) -> None:
    """Of the constructor, or of one call; each is cached for itself."""
    folder, documents = asked("qwen3-reranker"), ["a fox", "a dog"]
    with (
        opened(folder, "qwen3-reranker", cache="memory") as plain,
        opened(folder, "qwen3-reranker", instruction="Find code.") as other,
    ):
        usual = plain.rank("fox", documents)
        told = plain.rank("fox", documents, instruction="Find code.")
        assert told.usage["cached"] == 0
        assert [hit.logit for hit in told] == pytest.approx(
            [hit.logit for hit in other.rank("fox", documents)], abs=1e-5
        )
        assert {hit.logit for hit in told} != {hit.logit for hit in usual}
        assert plain.rank("fox", documents, instruction=QWEN3_TASK)[0].logit == pytest.approx(usual[0].logit, abs=1e-5)
        for wrong in ("", " ", 7):
            with pytest.raises(errors.UsageError, match="instruction must be a text"):
                plain.rank("fox", documents, instruction=wrong)


@pytest.mark.parametrize("template", MODELS)
def test_windows_of_long_documents_begin_as_documents_do(template: str, asked: Callable[[str], Path]) -> None:
    """Every window is asked about in the whole template, and passages are characters of the document itself."""
    text = "the quick brown fox jumps over the lazy dog. " * 60
    tokens = {"bge-reranker-gemma": 200}.get(template, 700)
    with opened(asked(template), template, long_documents="chunk", max_length=tokens) as reranker:
        (hit,) = reranker.rank("who created python", [text])
        scorer = reranker._engine.scorer
        (encoded,) = scorer.encoder.encode([Pair("who created python", text)], {})
        prepared = reranker.prepare([text])
        assert reranker.rank("who created python", prepared)[0].logit == pytest.approx(hit.logit, abs=1e-5)
    assert len(encoded.rows) > 1
    alone = len(scorer.encoder.tokenizer.encode(text, add_special_tokens=False).ids)
    assert abs(encoded.tokens - alone) <= 1  # its own, not the template's; at the seam, one more or less
    before, after = scorer.encoder.template.before, scorer.encoder.template.after
    for row, (start, stop) in zip(encoded.rows, encoded.passages, strict=True):
        assert tuple(row.ids[: len(before)]) == before
        assert tuple(row.ids[-len(after) :]) == after
        assert len(row.ids) <= tokens
        assert 0 <= start < stop <= len(text)
        assert not (text[:start][-1:] + text[start]).isalpha() or start == 0, "a passage begins within a word"
    assert encoded.passages[0][0] == 0
    assert encoded.passages[-1][1] == len(text)


def test_stored_answers_and_chat_template_are_found(asked: Callable[[str], Path], tmp_path: Path) -> None:
    """sentence-transformers' LogitScore holds the answers' ids, the chat template says how it is asked."""
    from shutil import copytree

    folder = Path(copytree(asked("qwen3-reranker"), tmp_path / "model"))
    with pytest.raises(errors.UnsupportedModelError, match="template= one of qwen3-reranker"):
        Reranker(str(folder))
    (folder / "chat_template.jinja").write_text(f"system: {PROMPTS['qwen3-reranker'].marker} ... {{{{ messages }}}}")
    with Reranker(str(folder), device="cpu", precision="fp32", cache=None) as found:
        usual = found.score(PAIRS[:5], raw=True)
    with opened(folder, "qwen3-reranker") as named:
        np.testing.assert_allclose(named.score(PAIRS[:5], raw=True), usual, atol=1e-5)
    ids = {"true_token_id": 40, "false_token_id": None}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_LogitScore",
            "type": "sentence_transformers.cross_encoder.modules.LogitScore",
        },
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"transformer_task": "text-generation"}))
    (folder / "1_LogitScore").mkdir()
    (folder / "1_LogitScore" / "config.json").write_text(json.dumps(ids))
    answers = read_profile(folder, "tiny").answers
    assert answers is not None
    assert (answers.yes, answers.no) == (40, None)
    with Reranker(str(folder), device="cpu", cache=None) as stored:
        assert not np.allclose(stored.score(PAIRS[:5], raw=True), usual, atol=1e-3)


def test_what_cannot_be_asked_is_refused(asked: Callable[[str], Path], checkpoint: Callable[..., Path]) -> None:
    """An unknown template, an instruction for a model that takes none, a template whose answers are no tokens."""
    with pytest.raises(errors.UsageError, match=r"'cohere'.*qwen3-reranker"):
        Reranker(str(asked("qwen3-reranker")), template="cohere")
    with pytest.raises(errors.UnsupportedModelError, match="takes no instruction"):
        Reranker(str(checkpoint("bert")), instruction="Find code.")
    with pytest.raises(errors.UnsupportedModelError, match="no reranking head"):
        Reranker(str(checkpoint("bert", config={"architectures": ["BertForMaskedLM"]})))


def test_a_classifier_with_a_template_is_asked_by_it(checkpoint: Callable[..., Path]) -> None:
    """Qwen3-Reranker as a sequence classifier has a head of its own, and is asked in the same words."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint("qwen3", max_length=1024, config={"pad_token_id": 1})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = [
            float(model(torch.tensor([qwen3_ids(tokenizer, query, text, None)])).logits[0, 0])
            for query, text in PAIRS[:12]
        ]
    with opened(folder, "qwen3-reranker") as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS[:12], raw=True), expected, atol=TOLERANCE, rtol=0)
