"""A model's files come from strangers: whatever is in them, opening it ends soon, in a model or in an error of ours."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrank.backends.onnx_graph import read_graph
from crossrank.checkpoint.card import card_languages
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.checkpoint.weights import load_weights
from crossrank.errors import CheckpointError, CrossrankError

LENGTH_MAX = 2_000  # characters of a message: what a stranger wrote is not repeated at length
FAMILIES = ("bert", "modernbert", "deberta-v2", "qwen3", "jina-bert")
slow_to_make = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

ODD = [0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("inf"), float("-inf"), float("nan"), True, None, "", "x" * 5_000]
values = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=20) | st.just({"model_type": "bert"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON document there is a value."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:40]):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(content: Any, draw: Callable[..., Any], where: list[tuple[Any, ...]]) -> Any:
    """The document with one to three of its values replaced, or gone."""
    content = deepcopy(content)
    for path in draw(st.lists(st.sampled_from(where), min_size=1, max_size=3)):
        inner = content
        try:
            for step in path[:-1]:
                inner = inner[step]
            if isinstance(inner, dict) and draw(st.booleans()) and draw(st.booleans()):
                del inner[path[-1]]
            else:
                inner[path[-1]] = draw(values)
        except (KeyError, IndexError, TypeError):  # a change before took the place away
            continue
    return content


@contextmanager
def refusals() -> Iterator[None]:
    """An error of ours is allowed, with a message of some length."""
    said = ""
    try:
        yield
    except CrossrankError as exc:
        said = str(exc)
    assert len(said) < LENGTH_MAX, said[:300]


def raise_opened(folder: Path) -> None:
    """All that reads a checkpoint."""
    profile = read_profile(folder, "a/model", classes=True)
    tokenizer = load_tokenizer(folder, profile)
    read_template(tokenizer, profile)
    if not profile.family.foreign:  # which is opened by transformers
        load_weights(folder, profile)


def opened(folder: Path) -> None:
    """The same; anything but an error of ours fails the test."""
    with refusals():
        raise_opened(folder)


@pytest.fixture(scope="module")
def models(checkpoint: Callable[..., Path]) -> dict[str, Path]:
    """A tiny checkpoint of each kind."""
    return {family: checkpoint(family) for family in FAMILIES}


@pytest.mark.property
@slow_to_make
@given(data=st.data())
def test_any_configuration_is_a_model_or_an_error(
    data: st.DataObject, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """config.json and what lies beside it, each value replaced by anything that JSON and Python's reader allow."""
    family = data.draw(st.sampled_from(FAMILIES))
    folder = shutil.copytree(models[family], tmp_path_factory.mktemp("model"), dirs_exist_ok=True)
    name = data.draw(st.sampled_from(["config.json", "config.json", "tokenizer_config.json", *BESIDE]))
    content = BESIDE.get(name) or json.loads((folder / name).read_text())
    if name == "modules.json":
        (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
        (folder / "1_Dense").mkdir()
    written = json.dumps(changed(content, data.draw, list(places(content))))
    (folder / name).write_text(written)
    opened(folder)


BESIDE: dict[str, Any] = {
    "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True, "transformer_task": "x"},
    "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": "x", "prompts": {"a": "b"}},
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ],
    "model.safetensors.index.json": {"metadata": {"total_size": 1}, "weight_map": {"a": "b"}},
}


@pytest.mark.property
@slow_to_make
@given(data=st.data())
def test_any_header_of_weights_is_read_or_refused(
    data: st.DataObject, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Names, types, shapes, places and the header's own length; an array never reaches beyond the file."""
    folder = shutil.copytree(models["bert"], tmp_path_factory.mktemp("model"), dirs_exist_ok=True)
    stored = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(stored[:8], "little")
    header = json.loads(stored[8 : 8 + size])
    new = json.dumps(changed(header, data.draw, list(places(header)))).encode()
    said = data.draw(st.sampled_from([len(new)] * 4 + [0, 1, 2**40, 2**64 - 1, len(new) + 1]))
    cut = data.draw(st.sampled_from([None, None, None, 0, 5, 9, len(stored) // 2]))
    (folder / "model.safetensors").write_bytes((said.to_bytes(8, "little") + new + stored[8 + size :])[:cut])
    opened(folder)


@pytest.mark.property
@slow_to_make
@given(data=st.data())
def test_any_tokenizer_is_read_or_refused(
    data: st.DataObject, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its library may panic where a file is odd; that, too, is an error of ours."""
    family = data.draw(st.sampled_from(["bert", "qwen3"]))
    folder = shutil.copytree(models[family], tmp_path_factory.mktemp("model"), dirs_exist_ok=True)
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(changed(content, data.draw, list(places(content)))))
    opened(folder)


@pytest.mark.property
@given(content=st.binary(max_size=200))
def test_any_bytes_are_no_onnx_graph_or_one(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The reader of protobufs stops at the end of the file."""
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    file.write_bytes(content)
    with refusals():
        read_graph(file)


BOMBS = {
    "a number of a million digits": b'{"hidden_size": ' + b"9" * 1_000_000 + b"}",
    "a hundred thousand lists in each other": b'{"hidden_size": ' + b"[" * 100_000,
    "no text": b"\xff\xfe{}",
    "half a surrogate": b'{"model_type": "\\ud800"}',
    "an empty file": b"",
    "a key that comes twice": b'{"hidden_size": 1, "hidden_size": 24}',
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "modules.json"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_of_json(bomb: bytes, name: str, models: dict[str, Path], tmp_path: Path) -> None:
    """What would fill the memory or the stack of a careless reader."""
    folder = shutil.copytree(models["bert"], tmp_path / "model")
    (folder / name).write_bytes(bomb)
    opened(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/mem", "pipe", "."])
def test_links_to_what_has_no_end(target: str, name: str, models: dict[str, Path], tmp_path: Path) -> None:
    """A file that is a link to a device, a pipe nobody writes to, or a folder is not read."""
    folder = shutil.copytree(models["bert"], tmp_path / "model")
    if target == "pipe":
        os.mkfifo(tmp_path / "pipe")
        target = str(tmp_path / "pipe")
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    with pytest.raises(CrossrankError):
        raise_opened(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_of_settings_has_a_largest_size(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    """One of a terabyte (of nothing) is refused without being read."""
    folder = shutil.copytree(models["bert"], tmp_path / "model")
    os.truncate(folder / name, 1 << 40)
    with pytest.raises(CheckpointError, match="are read"):
        raise_opened(folder)


@pytest.mark.parametrize("path", ["..", "../bert", "/etc", "a/b", "1_Dense/../.."])
def test_no_module_lies_outside_of_its_model(path: str, models: dict[str, Path], tmp_path: Path) -> None:
    """modules.json names folders beside it, and nothing else."""
    folder = shutil.copytree(models["bert"], tmp_path / "model")
    modules = json.loads(json.dumps(BESIDE["modules.json"]))
    modules[2]["path"] = modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="no folder's name"):
        raise_opened(folder)


def test_no_shard_lies_outside_of_its_model(models: dict[str, Path], tmp_path: Path) -> None:
    """Of what the index of weights says only the last part is taken."""
    folder = shutil.copytree(models["bert"], tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    content = {"weight_map": {"a": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"lacks the weight files outside\.safetensors"):
        raise_opened(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_no_weights_of_an_onnx_file_lie_outside(name: str, tmp_path: Path) -> None:
    """A graph may keep its weights in files beside it; another place is not followed, whether it is there or not."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    entry = field(1, b"location") + field(2, name.encode())
    graph = field(1, field(4, b"MatMul")) + field(5, field(13, entry))
    (tmp_path / "model.onnx").write_bytes(field(7, graph))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        read_graph(tmp_path / "model.onnx")


CARDS = {
    "a date that cannot be": "language: en\nwhen: 2001-99-99",
    "lists without an end": "language: " + "[" * 3_000,
    "a number of many digits": "language: en\nsize: " + "9" * 5_000,
    "references that double": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlanguage: [*c, *c]",
    "an object": "language: !!python/object/apply:os.system [exit]",
    "no text": "language: \0",
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_says_a_language_or_nothing(card: str, tmp_path: Path) -> None:
    """What stands at the beginning of README.md is data, whatever it is."""
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n")
    assert card_languages(tmp_path) == frozenset()
    (tmp_path / "README.md").unlink()
    os.mkfifo(tmp_path / "README.md")
    assert card_languages(tmp_path) == frozenset()
