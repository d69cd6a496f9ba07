"""A checkpoint's own tokenizer is used as it is, and its template is read off what it does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from crossrank import Reranker
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.tokenizer import PairTemplate, load_tokenizer, read_template
from crossrank.errors import CheckpointError
from engines import FAMILIES

TEXTS = (
    "",
    " ",
    "a",
    "Guido van Rossum created Python.",
    "Crème brûlée costs 12.50 € in Zürich; naïve façades don't!",
    "北京是中国的首都。東京は日本の首都です。 한국의 수도는 서울",
    "Москва — столица России; İstanbul, ẞtraße, ΑΒΓ, ﬁne, Ⅷ",
    "e\u0301 combining, \u200b zero width, \ufeff mark, \u00ad hyphen",
    "👩‍👩‍👧 family, \x00 control, tab\tand\nnewline\r\n",
    "[SEP] special [CLS] tokens [PAD] inside [MASK] the text [UNK]",
    "x" * 120,
    "\ue000 private, \U0001f600 astral, \u2028 line, \u3000 wide space, ｆｕｌｌ ｗｉｄｔｈ",
)
PAIRS = [("fox", "The quick brown fox jumps"), ("首都", "北京是中国的首都。")]


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A tiny BERT reranker that the test may change."""
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))


def load(folder: Path) -> tuple[Tokenizer, PairTemplate, ModelProfile]:
    """The tokenizer, its template and the profile."""
    profile = read_profile(folder, "some/model")
    tokenizer = load_tokenizer(folder, profile)
    return tokenizer, read_template(tokenizer, profile), profile


def refusal(folder: Path) -> str:
    """The message with which the tokenizer is refused, here and when a model is opened."""
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    with pytest.raises(CheckpointError):
        Reranker(str(folder))
    return str(caught.value)


def change(folder: Path, **parts: Any) -> None:
    """Replace parts of tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | parts), encoding="utf-8")


def to_vocabulary(folder: Path, **config: Any) -> None:
    """Leave only vocab.txt, as older checkpoints have it."""
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    lines = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_template_is_what_the_tokenizer_does_to_a_pair(family: str, checkpoint: Callable[..., Path]) -> None:
    """Assembled from the template, any two texts have the ids and segments of the tokenizer's own pair encoding."""
    tokenizer, template, profile = load(checkpoint(family))
    for query in TEXTS[2:]:
        for document in TEXTS[2:]:
            left, right = (tokenizer.encode(text, add_special_tokens=False).ids for text in (query, document))
            parts = (template.before, left, template.between, right, template.after)
            own = tokenizer.encode(query, document)
            assert [token for part in parts for token in part] == own.ids
            segments = [s for part, s in zip(parts, template.segments, strict=True) for _ in part]
            assert segments == (own.type_ids if profile.segments > 1 else [0] * len(own.ids))
            assert len(own.ids) == len(left) + len(right) + template.special_tokens


@pytest.mark.parametrize(
    ("family", "between", "segments"),
    [
        ("bert", ["[SEP]"], (0, 0, 0, 1, 1)),
        ("electra", ["[SEP]"], (0, 0, 0, 1, 1)),
        ("roberta", ["</s>", "</s>"], (0, 0, 0, 0, 0)),
        ("xlm-roberta", ["</s>", "</s>"], (0, 0, 0, 0, 0)),
        ("modernbert", ["[SEP]"], (0, 0, 0, 0, 0)),
    ],
)
def test_each_family_has_its_template(
    family: str, between: list[str], segments: tuple[int, ...], checkpoint: Callable[..., Path]
) -> None:
    """BERT and ELECTRA tell segments; RoBERTa and XLM-R part with two tokens; ModernBERT does neither."""
    tokenizer, template, _ = load(checkpoint(family))
    assert [tokenizer.id_to_token(token) for token in template.between] == between
    assert tokenizer.id_to_token(template.before[0]) == ("<s>" if "roberta" in family else "[CLS]")
    assert template.segments == segments
    assert template.special_tokens == 2 + len(between)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "tokenize_chinese_chars": False},
    ],
)
@pytest.mark.parametrize("family", ["bert", "electra"])
def test_a_vocabulary_alone_gives_the_ids_of_transformers(
    family: str, config: dict[str, Any], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """vocab.txt with tokenizer_config.json tokenises every kind of text as transformers' BertTokenizer does."""
    from transformers import BertTokenizer

    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    to_vocabulary(folder, **config)
    tokenizer, template, _ = load(folder)
    reference = BertTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer.encode(text, add_special_tokens=False).ids == reference.encode(text, add_special_tokens=False)
    encoded = reference("fox", "dog")
    own = tokenizer.encode("fox", "dog")
    assert (own.ids, own.type_ids) == (encoded["input_ids"], encoded["token_type_ids"])
    assert template.segments == (0, 0, 0, 1, 1)


def test_a_vocabulary_alone_scores_as_the_tokenizer_file(checkpoint: Callable[..., Path], folder: Path) -> None:
    """The same model without tokenizer.json has the same logits."""
    to_vocabulary(folder)
    pairs = [(query, document) for query in TEXTS[2:6] for document in TEXTS[2:6]]
    expected = Reranker(str(checkpoint("bert"))).score(pairs, raw=True)
    assert Reranker(str(folder)).score(pairs, raw=True).tolist() == expected.tolist()


def test_a_vocabulary_without_special_tokens_is_an_error(folder: Path) -> None:
    """A vocab.txt that lacks [SEP] can join no pair."""
    to_vocabulary(folder)
    file = folder / "vocab.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("[SEP]", "[NOT]"), encoding="utf-8")
    assert "again" in refusal(folder)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_tokenizer_without_post_processor_is_refused(
    family: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Without special tokens the model could not tell query from document, so nothing is scored."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    change(folder, post_processor=None)
    message = refusal(folder)
    assert "no special tokens around a pair" in message
    assert "post-processor" in message


def template_of(pair: list[dict[str, Any]]) -> dict[str, Any]:
    """A template post-processor of tokenizer.json."""
    special = {token: {"id": token, "ids": [i], "tokens": [token]} for token, i in (("[CLS]", 2), ("[SEP]", 3))}
    single = [{"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def test_a_template_that_does_not_part_the_texts_is_refused(folder: Path) -> None:
    """Query and document side by side, with special tokens only at the ends, cannot be told apart."""
    cls, sep = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("[CLS]", "[SEP]"))
    query, document = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    change(folder, post_processor=template_of([cls, query, document, sep]))
    assert "no special tokens around a pair" in refusal(folder)


def test_a_template_with_the_document_first_is_refused(folder: Path) -> None:
    """A tokenizer that puts the second text first is not what rerankers are trained with."""
    cls, sep = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("[CLS]", "[SEP]"))
    query, document = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    change(folder, post_processor=template_of([cls, document, sep, query, sep]))
    assert "query before the document" in refusal(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_tokenizer_is_an_error_with_a_remedy(
    family: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Without tokenizer.json, and for BERT and ELECTRA without vocab.txt, the message says how to save one."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    (folder / "tokenizer.json").unlink()
    message = refusal(folder)
    assert "has no tokenizer.json" in message
    assert "AutoTokenizer" in message


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"null", b"\xff\xfe", b'{"version": "1.0"}', b"<html>"])
def test_a_broken_tokenizer_is_an_error_with_a_remedy(content: bytes, folder: Path) -> None:
    """Whatever tokenizer.json holds instead of a tokenizer, the error is ours and names the folder."""
    (folder / "tokenizer.json").write_bytes(content)
    message = refusal(folder)
    assert str(folder) in message
    assert "again" in message


def test_more_tokens_than_the_weights_know_are_refused(folder: Path) -> None:
    """A tokenizer of another model would read beyond the embedding table; both sizes are in the message."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    tokenizer.add_tokens(["entirely-new"])
    tokenizer.save(str(folder / "tokenizer.json"))
    message = refusal(folder)
    assert f"has {size + 1} tokens" in message
    assert f"its weights know {size}" in message


@pytest.mark.parametrize("family", FAMILIES)
def test_stored_truncation_and_padding_are_switched_off(
    family: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """A tokenizer saved while it cut to 8 tokens and padded to 16 reads texts whole, and scores as before."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(folder / "tokenizer.json"))
    loaded, template, _ = load(folder)
    assert loaded.truncation is None
    assert loaded.padding is None
    assert template == load(checkpoint(family))[1]
    expected = Reranker(str(checkpoint(family))).score(PAIRS, raw=True)
    assert Reranker(str(folder)).score(PAIRS, raw=True).tolist() == expected.tolist()
