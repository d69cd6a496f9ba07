"""Encoder-decoders that are asked (monoT5, RankT5): the ids of the whole text, the scores of transformers' T5."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import TEMPLATES, t5_checkpoint, t5_tokenizer
from crossrank import Reranker, errors
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.engine.encode import Encoder
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from parity import QUERIES, TEXTS, TOLERANCE

FORMS = dict.fromkeys(TEMPLATES, "Query: {q} Document: {d} Relevant:") | {"rankt5": "Query: {q} Document: {d}"}
ANSWERS = {  # yes and no, as pygaggle's table and ListT5's script name the tokens
    "monot5": ("▁true", "▁false"),
    "monot5-yes-no": ("▁yes", "▁no"),
    "monot5-sim-nao": ("▁sim", "▁não"),
    "rankt5": ("<extra_id_10>", None),
}
PAIRS = [(query, text) for query in QUERIES for text in TEXTS if len(text) < 100]
TEXT = st.text(alphabet=st.sampled_from("abcdef 12.?!\n\tüé北(-'"), max_size=40)


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a tiny encoder-decoder; equal arguments give the same folder."""
    made: dict[str, Path] = {}

    def make(kind: str = "t5", **config: Any) -> Path:
        key = f"{kind} {config}"
        if key not in made:
            made[key] = t5_checkpoint(tmp_path_factory.mktemp(kind), kind, **config)
        return made[key]

    return make


def opened(folder: Path, template: str | None, **options: Any) -> Reranker:
    given = {"precision": "fp32", "long_documents": "truncate", "cache": None, **options}
    return Reranker(str(folder), template=template, device="cpu", **given)


def reference(folder: Path, template: str, pairs: list[tuple[str, str]]) -> np.ndarray:
    """The answers' logits at the decoder's first step, fp32 [pairs, 1 or 2], by transformers, of the whole text."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [tokenizer.convert_tokens_to_ids(answer) for answer in ANSWERS[template] if answer]
    assert tokenizer.unk_token_id not in ids
    given = tokenizer([FORMS[template].format(q=q, d=d) for q, d in pairs], padding=True, return_tensors="pt")
    with torch.inference_mode():
        out = model(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            decoder_input_ids=torch.zeros(len(pairs), 1, dtype=torch.long),
        )
    return out.logits[:, 0, ids].numpy()


@pytest.mark.parametrize(
    ("template", "kind"), [("monot5", "t5"), ("monot5-yes-no", "mt5"), ("monot5-sim-nao", "t5"), ("rankt5", "t5")]
)
def test_logits_are_those_of_the_first_step(template: str, kind: str, asked: Callable[..., Path]) -> None:
    """The answer's logit, less that of the other where there is one; sigmoid makes its probability of the two."""
    folder = asked(kind)
    found = reference(folder, template, PAIRS)
    expected = found[:, 0] - found[:, 1] if found.shape[1] == 2 else found[:, 0]
    assert np.ptp(expected) > 0.2
    for batch_tokens in (1, 300, None):
        with opened(folder, template, batch_tokens=batch_tokens) as reranker:
            np.testing.assert_allclose(reranker.score(PAIRS, raw=True), expected, atol=TOLERANCE, rtol=0)
    if found.shape[1] == 2:
        share = torch.softmax(torch.from_numpy(found), 1)[:, 0]
        with opened(folder, template) as reranker:
            np.testing.assert_allclose(reranker.score(PAIRS), share, atol=TOLERANCE, rtol=0)


def test_gates_equal_transformers(asked: Callable[..., Path]) -> None:
    """As T5 1.1 has them."""
    folder = asked(feed_forward_proj="gated-gelu")
    found = reference(folder, "monot5", PAIRS)
    with opened(folder, "monot5") as reranker:
        np.testing.assert_allclose(
            reranker.score(PAIRS, raw=True), found[:, 0] - found[:, 1], atol=2 * TOLERANCE, rtol=0
        )


@cache
def encoder_of(folder: Path, template: str) -> Encoder:
    return open_scorer(OpenConfig(str(folder), template=template, device="cpu", self_test=False)).encoder


@pytest.mark.property
@pytest.mark.parametrize("template", ["monot5", "rankt5"])
@given(query=TEXT, document=TEXT)
def test_ids_are_those_of_the_whole_text(template: str, asked: Callable[..., Path], query: str, document: str) -> None:
    """Whatever texts begin and end with."""
    (encoded,) = encoder_of(asked(), template).encode([Pair(query, document)], {})
    whole = t5_tokenizer().encode(FORMS[template].format(q=query, d=document))
    assert encoded.rows[0].ids.tolist() == whole.ids


def test_long_documents_are_cut_and_the_question_is_not(asked: Callable[..., Path]) -> None:
    """What is asked stands after the document, whole; no row is longer than its authors' 512 tokens."""
    document = "natural selection " * 900
    scorer = open_scorer(OpenConfig(str(asked()), template="monot5", device="cpu", self_test=False))
    (encoded,) = scorer.encoder.encode([Pair("fox", document)], {})
    assert len(encoded.rows) > 2
    tokenizer = t5_tokenizer()
    for row in encoded.rows:
        assert len(row.ids) <= 512
        assert tokenizer.decode(row.ids.tolist(), skip_special_tokens=False).endswith("Relevant:</s>")
        assert tokenizer.decode(row.ids.tolist()).startswith("Query: fox Document: ")


def test_one_that_is_not_asked_is_refused(asked: Callable[..., Path], tmp_path: Path) -> None:
    """A T5 is no reranker by itself; the message lists the templates. An answer that is no token is one as well."""
    with pytest.raises(errors.UnsupportedModelError, match=r"language model without a reranking head.*monot5"):
        Reranker(str(asked()))
    with pytest.raises(errors.CheckpointError, match=r"the answer 'Yes', which is \d tokens"):
        Reranker(str(asked()), template="bge-reranker-gemma")
    assert PROMPTS["rankt5"].no is None
    with pytest.raises(errors.UnsupportedModelError, match="takes no instruction"):
        Reranker(str(asked()), template="monot5", instruction="Find code.")
    with pytest.raises(errors.UnsupportedModelError, match=r"of the family 't5'.*backend='torch'"):
        Reranker(str(asked()), template="monot5", backend="native")


def untied(folder: Path, made: Path, *, stored: bool) -> Path:
    """A copy whose last layer is its own, as T5 1.1 and mT5 have it, and stored or not."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, made)
    weights = {
        name: tensor for name, tensor in load_file(made / "model.safetensors").items() if name != "lm_head.weight"
    }
    if stored:
        torch.manual_seed(1)
        weights["lm_head.weight"] = torch.randn(weights["shared.weight"].shape)
    save_file(weights, made / "model.safetensors", {"format": "pt"})
    config = json.loads((made / "config.json").read_text())
    config.pop("scale_decoder_outputs")  # transformers 5 writes it; those who trained such models did not
    (made / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return made


def test_a_last_layer_of_its_own_counts(asked: Callable[..., Path], tmp_path: Path) -> None:
    """Not the embeddings, which transformers may take in its place."""
    from safetensors.torch import load_file
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = untied(asked(feed_forward_proj="gated-gelu"), tmp_path / "model", stored=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = [FORMS["monot5"].format(q=query, d=document) for query, document in PAIRS]
    given = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    given.pop("token_type_ids", None)
    with torch.inference_mode():
        start = torch.zeros(len(texts), 1, dtype=torch.long)
        last = model(**given, decoder_input_ids=start, output_hidden_states=True).decoder_hidden_states[-1][:, 0]
    rows = load_file(folder / "model.safetensors")["lm_head.weight"]
    yes, no = (rows[tokenizer.convert_tokens_to_ids(answer)] for answer in ANSWERS["monot5"] if answer)
    with opened(folder, "monot5") as reranker:
        ours = reranker.score(PAIRS, raw=True)
    np.testing.assert_allclose(ours, (last @ (yes - no)).numpy(), atol=2 * TOLERANCE, rtol=0)


def test_a_head_that_is_missing_is_refused(asked: Callable[..., Path], tmp_path: Path) -> None:
    """transformers would take the embeddings in its place."""
    folder = untied(asked(), tmp_path / "model", stored=False)
    with pytest.raises(errors.WeightsError, match=r"missing lm_head\.weight"):
        Reranker(str(folder), template="monot5", device="cpu")


def test_old_weight_files_become_safetensors(asked: Callable[..., Path], tmp_path: Path) -> None:
    """As castorini's are stored; which template they were trained with is said by the caller, or nothing is written."""
    from transformers import AutoModelForSeq2SeqLM

    from crossrank.export.convert import convert

    old = Path(shutil.copytree(asked(), tmp_path / "old", ignore=shutil.ignore_patterns("*.safetensors")))
    model = AutoModelForSeq2SeqLM.from_pretrained(asked(), dtype=torch.float32)
    torch.save(model.state_dict(), old / "pytorch_model.bin")
    with pytest.raises(errors.UnsupportedModelError, match="template="):
        convert(old, tmp_path / "new")
    done = convert(old, tmp_path / "new", template="monot5")
    assert done.profile.family.name == "t5"
    with opened(tmp_path / "new", "monot5") as new, opened(asked(), "monot5") as plain:
        np.testing.assert_array_equal(new.score(PAIRS, raw=True), plain.score(PAIRS, raw=True))
