"""The ONNX engine runs files of known inputs as they say, picks the right one, and refuses the others at load."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossrank import errors
from crossrank.backends.contract import Batch, Row
from crossrank.backends.onnx import OnnxBackend, open_onnx
from crossrank.backends.onnx_files import onnx_file, onnx_files
from crossrank.backends.onnx_graph import read_graph
from crossrank.backends.onnx_rows import side_by_side
from crossrank.backends.onnx_session import provider_for
from crossrank.checkpoint.profile import read_profile
from crossrank.nets.lengths import by_length
from forked import holds_in_a_child

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

HIDDEN = 8
VOCABULARY = 2_000
IDS, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
ALL = (IDS, MASK, SEGMENTS)
RNG = np.random.default_rng(0)
TABLE = RNG.normal(0, 0.1, size=(VOCABULARY, HIDDEN)).astype(np.float32)
KINDS = RNG.normal(0, 0.1, size=(2, HIDDEN)).astype(np.float32)
HEAD = RNG.normal(size=(HIDDEN, 1)).astype(np.float32)


def write_graph(
    file: Path,
    *,
    inputs: tuple[str, ...] = ALL,
    kind: int = TensorProto.INT64,
    shape: tuple[object, ...] = ("rows", "tokens"),
    output: str = "logits",
    head: NDArray[np.float32] = HEAD,
    weights: type = np.float32,
    opset: int = 17,
    beside: str | None = None,
) -> Path:
    """The sum of a row's embeddings, those of its segments and a head: padding shows wherever it is not masked."""
    file.parent.mkdir(parents=True, exist_ok=True)
    float_kind = TensorProto.FLOAT16 if weights is np.float16 else TensorProto.FLOAT
    constants = {"table": TABLE, "kinds": KINDS, "head": head}
    stored = [numpy_helper.from_array(value.astype(weights), name) for name, value in constants.items()]
    stored.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
    stored.append(numpy_helper.from_array(np.array([1], np.int64), "along"))
    nodes = [helper.make_node("Gather", ["table", IDS], ["words"])]
    summed = "words"
    if SEGMENTS in inputs:
        nodes.append(helper.make_node("Gather", ["kinds", SEGMENTS], ["marks"]))
        nodes.append(helper.make_node("Add", ["words", "marks"], ["marked"]))
        summed = "marked"
    if MASK in inputs:
        nodes.append(helper.make_node("Cast", [MASK], ["real"], to=float_kind))
        nodes.append(helper.make_node("Unsqueeze", ["real", "last"], ["column"]))
        nodes.append(helper.make_node("Mul", [summed, "column"], ["kept"]))
        summed = "kept"
    nodes.append(helper.make_node("ReduceSum", [summed, "along"], ["pooled"], keepdims=0))
    nodes.append(helper.make_node("MatMul", ["pooled", "head"], [output]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(output, float_kind, ["rows", head.shape[1]])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if beside is None:
        onnx.save(model, file)
    else:
        onnx.save(model, file, save_as_external_data=True, location=beside, size_threshold=64)
    return file


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A tiny BERT's tokenizer and configuration, and no weights."""
    made = tmp_path / "model"
    made.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint("bert") / name, made / name)
    return change_config(made, vocab_size=VOCABULARY)


def change_config(folder: Path, **entries: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))
    return folder


def opened(folder: Path, **options: object) -> OnnxBackend:
    return open_onnx(read_profile(folder, "tiny"), folder, **options)


def rows_of(lengths: list[int]) -> list[Row]:
    rng = np.random.default_rng(1)
    return [
        Row(rng.integers(1, VOCABULARY, n).astype(np.int32), (np.arange(n) > n // 2).astype(np.int32)) for n in lengths
    ]


def expected(rows: list[Row], *, segments: bool = True) -> NDArray[np.float32]:
    """What the graph gives for each row alone."""
    return np.array([(TABLE[row.ids] + segments * KINDS[row.segments]).sum(0) @ HEAD for row in rows], np.float32)


LENGTHS = [3, 64, 17, 3, 40, 1, 64, 41]


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_rows_of_all_lengths_in_one_batch(folder: Path, kind: int) -> None:
    """Logits fp32 in the order of the rows, segments included, padding without a trace; integers of either width."""
    write_graph(folder / "model.onnx", kind=kind)
    backend, rows = opened(folder, threads=1), rows_of(LENGTHS)
    found = backend.run(Batch.of(rows))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(rows), atol=1e-4, rtol=0)
    np.testing.assert_array_equal(backend.begin(Batch.of(rows))(), found)
    np.testing.assert_array_equal(backend.run(Batch.of(rows), exact=True), found)
    assert (backend.facts.backend, backend.facts.device, backend.facts.precision) == ("onnx", "cpu", "fp32")
    assert backend.facts.threads == 1


def test_rows_come_out_the_same_beside_others(folder: Path) -> None:
    """Alone, in small batches and all together: |difference| <= 1e-5."""
    write_graph(folder / "model.onnx")
    backend, rows = opened(folder), rows_of(LENGTHS * 20)
    together = backend.run(Batch.of(rows))
    alone = np.concatenate([backend.run(Batch.of([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)


def test_fp16_files_give_fp32(folder: Path) -> None:
    """Their logits are cast, and the facts say what the file computes in."""
    write_graph(folder / "model.onnx", weights=np.float16)
    backend, rows = opened(folder), rows_of([5, 9])
    assert backend.facts.precision == "fp16"
    found = backend.run(Batch.of(rows))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(rows), atol=0.1)


def test_weights_beside_the_file(folder: Path) -> None:
    """External data is read, through links as the hub's cache has them; where it is missing, it is named."""
    blobs = folder.parent / "blobs"
    write_graph(blobs / "graph", beside="model.onnx_data")
    for name, blob in (("model.onnx", "graph"), ("model.onnx_data", "model.onnx_data")):
        (folder / name).symlink_to(blobs / blob)
    rows = rows_of([4, 6])
    np.testing.assert_allclose(opened(folder).run(Batch.of(rows)), expected(rows), atol=1e-4)
    (folder / "model.onnx_data").unlink()
    with pytest.raises(errors.CheckpointError, match=r"keeps its weights in model\.onnx_data.*lacks that"):
        opened(folder)


def test_a_family_that_is_not_known_runs(folder: Path) -> None:
    """A graph needs nobody to know its layers."""
    change_config(folder, model_type="distilbert", architectures=["DistilBertForSequenceClassification"])
    write_graph(folder / "onnx" / "model.onnx")
    assert read_profile(folder, "tiny").family.foreign
    rows = rows_of([4, 30])
    np.testing.assert_allclose(opened(folder).run(Batch.of(rows)), expected(rows), atol=1e-4)


def test_an_output_of_another_name(folder: Path) -> None:
    """The only one of floats [rows, labels] is taken."""
    write_graph(folder / "model.onnx", output="scores")
    rows = rows_of([4])
    np.testing.assert_allclose(opened(folder).run(Batch.of(rows)), expected(rows), atol=1e-4)


def test_a_graph_for_one_row_is_run_row_by_row(folder: Path) -> None:
    """A fixed batch of 1 is no obstacle."""
    write_graph(folder / "model.onnx", shape=(1, "tokens"))
    rows = rows_of([4, 4, 9])
    np.testing.assert_allclose(opened(folder).run(Batch.of(rows)), expected(rows), atol=1e-4)


@pytest.mark.parametrize(
    ("graph", "kind", "says"),
    [
        ({"inputs": (IDS, MASK)}, errors.UnsupportedModelError, "no input token_type_ids"),
        ({"inputs": (IDS, SEGMENTS)}, errors.UnsupportedModelError, "missing: attention_mask"),
        ({"inputs": (*ALL, "position_ids")}, errors.UnsupportedModelError, "unknown: position_ids"),
        ({"kind": TensorProto.FLOAT}, errors.CheckpointError, "no sound ONNX"),
        ({"shape": ("rows", 128)}, errors.UnsupportedModelError, "dynamic axes"),
        ({"shape": (8, "tokens")}, errors.UnsupportedModelError, "dynamic axes"),
        ({"head": np.ones((HIDDEN, 3), np.float32)}, errors.CheckpointError, "different models"),
        ({"opset": 99}, errors.CheckpointError, "opset 99.*pip install --upgrade onnxruntime"),
    ],
)
def test_other_graphs_are_refused_at_load(
    folder: Path, graph: dict[str, object], kind: type[Exception], says: str
) -> None:
    """What was found, what is wanted, and what to do."""
    write_graph(folder / "model.onnx", **graph)
    with pytest.raises(kind, match=says) as caught:
        opened(folder)
    assert type(caught.value) is kind


def test_segments_that_the_tokenizer_never_marks_are_not_missed(folder: Path) -> None:
    """A table of two segments is no use to a model whose tokenizer gives 0 throughout."""
    text = json.loads((folder / "tokenizer.json").read_text())
    for part in text["post_processor"]["pair"]:
        next(iter(part.values()))["type_id"] = 0
    (folder / "tokenizer.json").write_text(json.dumps(text))
    write_graph(folder / "model.onnx", inputs=(IDS, MASK))
    rows = rows_of([5, 12])
    np.testing.assert_allclose(opened(folder).run(Batch.of(rows)), expected(rows, segments=False), atol=1e-4)


def test_an_output_that_is_no_score_is_refused(folder: Path) -> None:
    """An embedding model gives a vector a token."""
    file = write_graph(folder / "model.onnx")
    model = onnx.load(file)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["rows", "tokens", HIDDEN]))
    onnx.save(model, file)
    with pytest.raises(errors.UnsupportedModelError, match="embedding"):
        opened(folder)


def test_broken_files_are_refused_at_load(folder: Path) -> None:
    """Empty, of something else, cut anywhere: each an error that says what to do."""
    whole = write_graph(folder / "model.onnx").read_bytes()
    cuts = [whole[:n] for n in (1, 7, 100, len(whole) // 2, len(whole) - 3)]
    for content in (b"", b"x" * 200, b"\x80" * 50, json.dumps({"a": 1}).encode(), *cuts):
        (folder / "model.onnx").write_bytes(content)
        with pytest.raises(errors.CheckpointError, match="Download or export"):
            opened(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(errors.CheckpointError, match="crossrank export"):
        opened(folder)


def test_tokens_that_the_weights_do_not_know(folder: Path) -> None:
    """A tokenizer of another model is an error, not whatever stands there in memory."""
    write_graph(folder / "model.onnx")
    ids = np.array([VOCABULARY], np.int32)
    with pytest.raises(errors.CheckpointError, match="do not belong together"):
        opened(folder).run(Batch.of([Row(ids, np.zeros_like(ids))]))
    change_config(folder, vocab_size=VOCABULARY + 5)  # config.json claims more than there is
    with pytest.raises(errors.CheckpointError, match="fails on 1 tokens"):
        opened(folder).run(Batch.of([Row(ids, np.zeros_like(ids))]))


def test_which_file_is_run(folder: Path) -> None:
    """model.onnx first, in the folder or in onnx/; else the most exact; a precision takes a file of it, or an error."""
    names = ("onnx/model_fp16.onnx", "onnx/model_O3.onnx")
    write_graph(folder / names[0], weights=np.float16)
    assert onnx_file(folder, "auto")[0] == folder / names[0]
    write_graph(folder / names[1])
    assert onnx_file(folder, "auto")[0] == folder / names[1]
    write_graph(folder / "onnx/model.onnx", weights=np.float16)
    assert onnx_file(folder, "auto")[0] == folder / "onnx/model.onnx"
    assert onnx_file(folder, "fp32")[0] == folder / names[1]
    assert onnx_file(folder, "fp16")[0] == folder / "onnx/model.onnx"
    with pytest.raises(errors.UsageError, match=r"model_O3\.onnx \(fp32\)"):
        onnx_file(folder, "int8")
    write_graph(folder / "model.onnx")
    assert onnx_file(folder, "auto")[0] == folder / "model.onnx"


def test_files_for_other_processors_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names alone tell: what runs well anywhere, then what was made for this kind of processor."""
    for name in ("qint8_arm64", "qint8_avx512", "quint8_avx2", "quantized"):
        (tmp_path / f"model_{name}.onnx").touch()
    for machine, order in (
        ("x86_64", ["quantized", "quint8_avx2", "qint8_avx512", "qint8_arm64"]),
        ("aarch64", ["quantized", "qint8_arm64", "qint8_avx512", "quint8_avx2"]),
    ):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert [file.stem.removeprefix("model_") for file in onnx_files(tmp_path)] == order


def test_devices_have_their_providers() -> None:
    """A device that this ONNX Runtime was not built for is refused, and what it has is named."""
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    assert provider_for("cpu", [cuda, cpu]) == (cpu, 0)
    assert provider_for("cuda:1", [cuda, cpu]) == (cuda, 1)
    assert provider_for("auto", [cpu]) == (cpu, 0)
    assert provider_for("OpenVINOExecutionProvider", ["OpenVINOExecutionProvider", cpu])[0].startswith("OpenVINO")
    for device in ("cuda", "mps", "DmlExecutionProvider"):
        with pytest.raises(errors.UsageError, match=f"{device}.*has CPUExecutionProvider"):
            provider_for(device, [cpu])


def test_buckets_hold_every_row_once_and_waste_little() -> None:
    """Rows of about one length stand together, up to so many tokens with padding; a long one stands alone."""
    lengths = np.random.default_rng(1).integers(1, 512, 400).tolist()
    buckets = by_length(lengths, 1_024)
    assert sorted(row for bucket in buckets for row in bucket) == list(range(400))
    for bucket in buckets:
        longest, shortest = max(lengths[r] for r in bucket), min(lengths[r] for r in bucket)
        assert longest <= max(1.125 * shortest, shortest + 8)
        assert len(bucket) == 1 or len(bucket) * longest <= 1_024
    assert [len(bucket) for bucket in by_length([5, 5, 5], 1)] == [1, 1, 1]


def test_rows_side_by_side() -> None:
    """Padding is the model's own id, and masked."""
    rows = [Row(np.array(ids, np.int32), np.ones(len(ids), np.int32)) for ids in ([7], [1, 2, 3], [4, 5])]
    padded = side_by_side(Batch.of(rows), [2, 0], 9)
    assert padded.ids.tolist() == [[4, 5], [7, 9]]
    assert padded.segments.tolist() == padded.mask.tolist() == [[1, 1], [1, 0]]


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    """Its operators, its opset and the type of its weights, without a library."""
    graph = read_graph(write_graph(tmp_path / "model.onnx"))
    assert (graph.opset, graph.precision, graph.rows_alone) == (17, "fp32", False)
    assert {"Gather", "MatMul", "ReduceSum"} <= graph.operators
    assert graph.weights["fp32"] == TABLE.size + KINDS.size + HEAD.size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_scores(folder: Path) -> None:
    """ONNX Runtime's threads stay in the parent; a child computes all the same."""
    write_graph(folder / "model.onnx")
    backend, batch = opened(folder, threads=2), Batch.of(rows_of(LENGTHS * 50))
    before = backend.run(batch)
    assert holds_in_a_child(lambda: np.allclose(backend.run(batch), before, atol=1e-5))
