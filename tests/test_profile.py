"""A checkpoint's configuration files tell what the engine must know, and what cannot be scored is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoints import MODULE, SENTENCE, SETTINGS, save_as_cross_encoder
from crossrank import Reranker
from crossrank.checkpoint.profile import read_profile
from crossrank.errors import CheckpointError, CrossrankError, UnsupportedModelError
from parity import FEW

SIGMOID = "torch.nn.modules.activation.Sigmoid"
IDENTITY = "torch.nn.modules.linear.Identity"
BROKEN = ("[]", "null", "5", '"text"', "{", "[" * 100_000)


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A tiny BERT reranker that the test may change."""
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))


def write(folder: Path, file: str, content: Any) -> None:
    """Store JSON."""
    (folder / file).write_text(json.dumps(content), encoding="utf-8")


def change(folder: Path, **entries: Any) -> None:
    """Replace entries of config.json; ... removes one."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | entries
    write(folder, "config.json", {key: value for key, value in config.items() if value is not ...})


def refusal(folder: Path, kind: type[CrossrankError]) -> str:
    """The message with which the profile is refused."""
    with pytest.raises(kind) as caught:
        read_profile(folder, "some/model")
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("family", "facts"),
    [
        ("bert", {"pad_id": 0, "position_offset": 0, "segments": 2, "embedding": 24, "positions": 64}),
        ("electra", {"pad_id": 0, "position_offset": 0, "segments": 2, "embedding": 12, "positions": 64}),
        ("roberta", {"pad_id": 1, "position_offset": 2, "segments": 1, "embedding": 24, "positions": 66}),
        ("xlm-roberta", {"pad_id": 1, "position_offset": 2, "segments": 1, "embedding": 24, "positions": 66}),
    ],
)
def test_each_family_has_its_facts(family: str, facts: dict[str, int], checkpoint: Callable[..., Path]) -> None:
    """Sizes come from config.json; positions that padding takes are not for tokens."""
    profile = read_profile(checkpoint(family), "some/model")
    assert (profile.name, profile.family.name) == ("some/model", family)
    assert {fact: getattr(profile, fact) for fact in facts} == facts
    assert (profile.layers, profile.hidden, profile.heads, profile.intermediate, profile.labels) == (2, 24, 2, 48, 1)
    assert profile.max_length == 64
    assert [step.activation for step in profile.head] == ["gelu" if family == "electra" else "tanh", "none"]


@pytest.mark.parametrize(
    ("own", "new", "old", "expected"),
    [
        (None, None, None, "sigmoid"),
        (IDENTITY, None, None, "identity"),
        (None, IDENTITY, None, "identity"),
        (None, None, IDENTITY, "identity"),
        (SIGMOID, IDENTITY, IDENTITY, "sigmoid"),
        (None, SIGMOID, IDENTITY, "sigmoid"),
        (IDENTITY, SIGMOID, SIGMOID, "identity"),
    ],
)
def test_the_score_activation_is_resolved_as_by_sentence_transformers(
    own: str | None, new: str | None, old: str | None, expected: str, folder: Path
) -> None:
    """Its own file goes before config.json's new key, that before the old key, and sigmoid is the default."""
    from sentence_transformers import CrossEncoder

    if own:
        save_as_cross_encoder(folder, activation_fn=own)
    if new:
        change(folder, sentence_transformers={"activation_fn": new, "version": "4.1.0"})
    if old:
        change(folder, sbert_ce_default_activation_function=old)
    assert read_profile(folder, "some/model").score_activation == expected
    reference = CrossEncoder(str(folder))
    assert type(reference.activation_fn).__name__.lower() == expected
    np.testing.assert_allclose(Reranker(str(folder), precision="fp32").score(FEW), reference.predict(FEW), atol=1e-5)


@pytest.mark.parametrize("place", ["own", "new", "old"])
def test_an_unknown_score_activation_is_refused(place: str, folder: Path) -> None:
    """An activation that is not known is named, wherever it stands, not replaced by another."""
    given = "torch.nn.modules.activation.Tanh"
    if place == "own":
        save_as_cross_encoder(folder, activation_fn=given)
    elif place == "new":
        change(folder, sentence_transformers={"activation_fn": given})
    else:
        change(folder, sbert_ce_default_activation_function=given)
    assert given in refusal(folder, UnsupportedModelError)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(32, 32), (64, 64), (512, 64), (1e30, 64), (1000000000000000019884624838656, 64), (None, 64), (0, 64), (-1, 64)],
)
@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_the_longest_input_is_the_smallest_limit(
    limit: float | None, expected: int, family: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The tokenizer's limit counts where it is one; positions less the padding's offset always do."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "model"))
    write(folder, "tokenizer_config.json", {"model_max_length": limit})
    assert read_profile(folder, "some/model").max_length == expected


@pytest.mark.parametrize("limit", [16, 64, 512])
def test_the_limit_that_sentence_transformers_stored_counts(limit: int, folder: Path) -> None:
    """max_seq_length of a stored CrossEncoder is a limit like the others."""
    from sentence_transformers import CrossEncoder

    save_as_cross_encoder(folder, {"max_seq_length": limit}, activation_fn=SIGMOID)
    expected = read_profile(folder, "some/model").max_length
    assert expected == min(limit, 64) == min(CrossEncoder(str(folder)).max_seq_length, 64)


@pytest.mark.parametrize("left_out", ["modules.json", "model_type"])
def test_files_of_sentence_transformers_count_only_for_a_stored_cross_encoder(left_out: str, folder: Path) -> None:
    """Without modules.json, or of another kind of model, its files are ignored, as sentence-transformers does."""
    from sentence_transformers import CrossEncoder

    saved = {"activation_fn": IDENTITY, "default_prompt_name": "query", "prompts": {"query": "Represent this: "}}
    save_as_cross_encoder(folder, {"max_seq_length": 16}, **saved)
    if left_out == "modules.json":
        (folder / left_out).unlink()
    else:
        write(folder, SENTENCE, saved)
    profile, reference = read_profile(folder, "some/model"), CrossEncoder(str(folder))
    assert (profile.score_activation, profile.max_length) == ("sigmoid", 64)
    assert (type(reference.activation_fn).__name__, reference.max_seq_length) == ("Sigmoid", 64)
    assert reference.default_prompt_name is None


def test_the_truncation_side_is_the_tokenizers(folder: Path) -> None:
    """A tokenizer that cuts on the left says so; all others cut on the right."""
    assert read_profile(folder, "some/model").truncation_side == "right"
    write(folder, "tokenizer_config.json", {"truncation_side": "left"})
    assert read_profile(folder, "some/model").truncation_side == "left"


@pytest.mark.parametrize(
    ("labels", "reading", "activation"),
    [
        (["LABEL_0"], "score", "sigmoid"),
        (["anything"], "score", "sigmoid"),
        (["LABEL_0", "LABEL_1"], "odds", "sigmoid"),
        (["irrelevant", "relevant"], "odds", "sigmoid"),
        (["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], "grade", "identity"),
        (["0", "1", "2"], "grade", "identity"),
    ],
)
def test_labels_are_read_as_relevance(labels: list[str], reading: str, activation: str, folder: Path) -> None:
    """One label is a score; of two the second is relevance; numbered ones are grades."""
    change(folder, id2label={str(i): label for i, label in enumerate(labels)})
    profile = read_profile(folder, "some/model")
    assert (profile.labels, profile.reading, profile.score_activation) == (len(labels), reading, activation)


@pytest.mark.parametrize("labels", [["negative", "positive"], ["contradiction", "entailment", "neutral"]])
def test_a_classifier_is_refused(labels: list[str], folder: Path) -> None:
    """Labels that are no grades of relevance give no score, and the message names them."""
    change(folder, id2label={str(i): label for i, label in enumerate(labels)})
    message = refusal(folder, UnsupportedModelError)
    assert f"{len(labels)} labels ({', '.join(labels)})" in message


def test_without_a_count_of_labels_there_are_two(folder: Path) -> None:
    """As transformers counts them."""
    change(folder, id2label=..., label2id=...)
    assert read_profile(folder, "some/model").labels == 2
    change(folder, num_labels=1)
    assert read_profile(folder, "some/model").labels == 1


@pytest.mark.parametrize(
    "architecture", ["BertModel", "BertForMaskedLM", "BertForTokenClassification", "ElectraForSequenceClassification"]
)
def test_another_architecture_is_refused_by_its_name(architecture: str, folder: Path) -> None:
    """An embedding or language model is called what it is."""
    change(folder, architectures=[architecture])
    message = refusal(folder, UnsupportedModelError)
    assert architecture in message
    assert "BertForSequenceClassification" in message


@pytest.mark.parametrize("architectures", [..., None, []])
def test_a_checkpoint_without_an_architecture_is_refused(architectures: Any, folder: Path) -> None:
    """Nothing is guessed when config.json names no architecture."""
    change(folder, architectures=architectures)
    assert "no named architecture" in refusal(folder, UnsupportedModelError)


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("fsmt", "FSMTForConditionalGeneration"),
        ("eurobert", "EuroBertModel"),
        (None, "SomethingElse"),
    ],
)
def test_an_unknown_family_is_refused_by_its_name(kind: str | None, architecture: str, folder: Path) -> None:
    """The message names the family, the architecture and what can be scored."""
    change(folder, model_type=kind, architectures=[architecture])
    message = refusal(folder, UnsupportedModelError)
    assert repr(kind) in message
    assert architecture in message
    assert "xlm-roberta" in message


def test_a_family_whose_code_is_in_the_checkpoint_is_refused(folder: Path) -> None:
    """Code of a checkpoint is never run, and the message says so."""
    change(folder, model_type="new", architectures=["NewForSequenceClassification"], auto_map={"AutoModel": "x.New"})
    assert "never run" in refusal(folder, UnsupportedModelError)


def test_a_classifier_of_another_family_is_transformers_business(folder: Path) -> None:
    """What has no net of ours, and what has a setting that ours lacks, is marked with the reason."""
    change(folder, hidden_act="quick_gelu")
    profile = read_profile(folder, "some/model")
    assert profile.family.foreign
    assert "'quick_gelu'" in profile.foreign_because
    change(folder, hidden_act="gelu", model_type="distilbert", architectures=["DistilBertForSequenceClassification"])
    profile = read_profile(folder, "some/model")
    assert (profile.architecture, profile.vocabulary) == ("DistilBertForSequenceClassification", 256)
    assert "'distilbert'" in profile.foreign_because


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_relative_positions_are_refused(kind: str, folder: Path) -> None:
    """A BERT with relative positions would be scored wrongly, so it is not scored."""
    change(folder, position_embedding_type=kind)
    assert kind in refusal(folder, UnsupportedModelError)
    change(folder, position_embedding_type=None)
    assert read_profile(folder, "some/model").positions == 64


def test_a_chain_of_modules_is_refused_and_the_plain_one_taken(folder: Path) -> None:
    """sentence-transformers' own modules after the transformer change the score; one transformer alone does not."""
    plain = {"idx": 0, "name": "0", "path": "", "type": MODULE}
    score = {"idx": 1, "name": "1", "path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.LogitScore"}
    write(folder, "modules.json", [plain, score])
    (folder / "1_LogitScore").mkdir()
    write(folder, "1_LogitScore/config.json", {"true_token_id": 5, "false_token_id": 6})
    write(folder, "sentence_bert_config.json", {"transformer_task": "text-generation"})
    assert "Transformer -> LogitScore" in refusal(folder, UnsupportedModelError)
    write(folder, "modules.json", [plain])
    write(folder, "sentence_bert_config.json", SETTINGS)
    assert read_profile(folder, "some/model").labels == 1


def test_a_model_stored_for_another_task_is_refused(folder: Path) -> None:
    """A language model wrapped by sentence-transformers is no reranker of this kind."""
    write(folder, "sentence_bert_config.json", {"transformer_task": "text-generation"})
    assert "text-generation" in refusal(folder, UnsupportedModelError)
    write(folder, "sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    assert read_profile(folder, "some/model").labels == 1


def test_a_default_prompt_is_refused(folder: Path) -> None:
    """A prompt that would be put before each text is named; prompts that are only on offer do not matter."""
    prompts = {"query": "Represent this: ", "none": ""}
    save_as_cross_encoder(folder, default_prompt_name="query", prompts=prompts)
    assert "'query'" in refusal(folder, UnsupportedModelError)
    for default in (None, "none"):
        save_as_cross_encoder(folder, default_prompt_name=default, prompts=prompts)
        assert read_profile(folder, "some/model").labels == 1


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path) -> None:
    """An empty folder is told what a model folder holds."""
    message = refusal(tmp_path, CheckpointError)
    assert "has no config.json" in message
    assert "model.safetensors" in message


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", SENTENCE, "sentence_bert_config.json", "modules.json"]
)
def test_a_broken_file_is_an_error_with_a_remedy(file: str, content: str, folder: Path) -> None:
    """Whatever a configuration file holds instead of its object, the error is ours."""
    if (file, content) == ("modules.json", "[]"):
        content = "[1]"
    (folder / file).write_text(content, encoding="utf-8")
    assert "again" in refusal(folder, CheckpointError)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b'{"model_type": "\xff"}', b""])
def test_a_config_that_is_no_text_is_an_error(content: bytes, folder: Path) -> None:
    """Bytes that are no UTF-8, and an empty file, are named with their path."""
    (folder / "config.json").write_bytes(content)
    assert str(folder / "config.json") in refusal(folder, CheckpointError)


@pytest.mark.parametrize(
    "key",
    [
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ],
)
def test_a_missing_entry_is_named(key: str, folder: Path) -> None:
    """A size is never guessed."""
    change(folder, **{key: ...})
    assert f"lacks '{key}'" in refusal(folder, CheckpointError)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "24", None, [], 10**30, float("inf")])
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size", "type_vocab_size"])
def test_an_impossible_size_is_named(key: str, value: Any, folder: Path) -> None:
    """A size that cannot be is refused before anything of that size is made."""
    change(folder, **{key: value})
    assert key in refusal(folder, CheckpointError)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"num_attention_heads": 5}, "no multiple of num_attention_heads"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
        ({"layer_norm_eps": "tiny"}, "tiny"),
        ({"pad_token_id": -5}, "pad_token_id"),
        ({"id2label": 5}, "again"),
        ({"sentence_transformers": "new"}, "again"),
        ({"hidden_act": ["gelu"]}, "again"),
    ],
)
def test_values_that_contradict_are_errors(entries: dict[str, Any], says: str, folder: Path) -> None:
    """Values that are no sizes but cannot be either are refused as well."""
    change(folder, **entries)
    assert says in refusal(folder, CheckpointError)


def test_padding_that_takes_every_position_is_an_error(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A RoBERTa whose positions end where its tokens' would begin has no room for any."""
    folder = Path(shutil.copytree(checkpoint("roberta"), tmp_path / "model"))
    change(folder, max_position_embeddings=2)
    assert "no position" in refusal(folder, CheckpointError)
