"""sentence-transformers' own CrossEncoder on the same checkpoints gives the same scores, for every head that it has.

Ours reads several labels as one score: its logits of all labels are read in the same way. Chains of modules in the
native engine are in test_parity_modernbert, the drop-in class in test_parity.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as Reference

from checkpoints import foreign_checkpoint, with_labels
from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.engine.head import read
from parity import PAIRS, QUERIES, TEXTS, TOLERANCE

SHORT = [(query, text) for query in QUERIES for text in TEXTS if len(text) < 60]  # it cuts otherwise than ours
FIND = (
    "{%- set ns = namespace(query='', document='') %}{%- for m in messages %}{%- if m['role'] == 'query' %}"
    "{%- set ns.query = m['content'] %}{%- elif m['role'] == 'document' %}{%- set ns.document = m['content'] %}"
    "{%- endif %}{%- endfor -%}"
)
CHATS = {  # how a checkpoint's own chat template puts a query and a document into the prompt
    "qwen3-reranker": FIND
    + "{{- '<|im_start|>system\\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\\n<|im_start|>user\\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\\n"
    "<Query>: ' + ns.query + '\\n<Document>: ' + ns.document + '<|im_end|>\\n"
    "<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}",
}


def scores(folder: Path, backend: str, pairs: list[tuple[str, str]], *, raw: bool) -> np.ndarray:
    """Ours, in fp32."""
    options = {"precision": "fp32", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), backend=backend, device="cpu", **options) as reranker:
        return reranker.score(pairs, raw=raw)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "deberta-v2", "llama", "qwen2", "qwen3", "gemma"])
def test_one_label(family: str, checkpoint: Callable[..., Path]) -> None:
    """The score, with the activation that both read from the checkpoint, of what the torch engine runs."""
    folder = checkpoint(family)
    expected = Reference(str(folder), device="cpu", max_length=64).predict(SHORT)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(scores(folder, "torch", SHORT, raw=False), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("family", ["bert", "electra", "xlm-roberta", "modernbert"])
def test_several_labels(family: str, labels: int, backend: str, checkpoint: Callable[..., Path]) -> None:
    """Its row of logits, read as ours reads them, is our score."""
    folder = with_labels(checkpoint, family, labels)
    logits = Reference(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert logits.shape == (len(PAIRS), labels)
    expected = read(logits, read_profile(folder, "tiny").reading)
    np.testing.assert_allclose(scores(folder, backend, PAIRS, raw=True), expected, atol=2 * TOLERANCE, rtol=0)


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_families_of_transformers_alone(labels: int, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """What runs through transformers is read in the same way."""
    folder = foreign_checkpoint("distilbert", checkpoint("bert"), tmp_path / "model", labels=labels)
    pairs = [pair for pair in SHORT if "[PAD]" not in pair[1]]
    logits = Reference(str(folder), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    expected = read(logits.reshape(len(pairs), labels), read_profile(folder, "tiny").reading)
    np.testing.assert_allclose(scores(folder, "torch", pairs, raw=True), expected, atol=2 * TOLERANCE, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2"])
def test_chains_of_modules_in_torch(family: str, pooling: str, chain: Callable[..., Path]) -> None:
    """Pooling, dense layers and a norm after a transformer without a head."""
    folder = chain(family, pooling)
    expected = Reference(str(folder), device="cpu").predict(PAIRS)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(scores(folder, "torch", PAIRS, raw=False), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("against", [True, False])
@pytest.mark.parametrize("template", CHATS)
def test_language_models_that_are_asked(
    template: str, against: bool, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """LogitScore: saved by sentence-transformers, with one answer or two, and found by its chat template."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from transformers import AutoTokenizer

    plain = checkpoint("qwen3", template=template, max_length=1024)
    tokenizer = AutoTokenizer.from_pretrained(plain)
    prompt = PROMPTS[template]
    answers = [tokenizer.convert_tokens_to_ids(word) for word in (prompt.yes, prompt.no)]
    body = Path(shutil.copytree(plain, tmp_path / "body"))
    (body / "chat_template.jinja").write_text(CHATS[template])
    modules = [Transformer(str(body), transformer_task="text-generation")]
    modules.append(LogitScore(answers[0], answers[1] if against else None))
    model = Reference(modules=modules, device="cpu")
    model.save_pretrained(str(tmp_path / "model"))
    reopened = Reference(str(tmp_path / "model"), device="cpu")
    expected = reopened.predict(SHORT, activation_fn=torch.nn.Identity())
    assert np.ptp(expected) > 0.5
    assert json.loads((tmp_path / "model" / "1_LogitScore" / "config.json").read_text())["true_token_id"] == answers[0]
    np.testing.assert_allclose(scores(tmp_path / "model", "torch", SHORT, raw=True), expected, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(
        scores(tmp_path / "model", "torch", SHORT, raw=False), reopened.predict(SHORT), atol=TOLERANCE, rtol=0
    )
