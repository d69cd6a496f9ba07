"""The torch engine gives the reference's logits for every family, packed or padded, and says what it cannot do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoints import foreign_checkpoint
from crossrank import Reranker, errors
from crossrank.backends.contract import Batch, Row
from crossrank.backends.device import Place, place_for
from crossrank.backends.graphs import Shape
from crossrank.backends.packing import packed
from crossrank.backends.torch import TorchBackend, halves
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.weights import load_weights
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.nets.lengths import by_length
from crossrank.nets.rows import SCORES_MAX, Rows, unpacked
from crossrank.nets.transformer import Transformer
from engines import OF_TORCH
from parity import PAIRS, TOLERANCE, reference_logits

CPU = torch.device("cpu")
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def torch_scores(folder: Path, pairs: list[tuple[str, str]] = PAIRS, **options: Any) -> np.ndarray:
    """Logits of the torch engine on the CPU."""
    given = {"precision": "fp32", "long_documents": "truncate", "cache": None, **options}
    with Reranker(str(folder), backend="torch", device="cpu", **given) as reranker:
        return reranker.score(pairs, raw=True)


def net_of(folder: Path) -> tuple[ModelProfile, Transformer]:
    """The net of a tiny checkpoint in fp32."""
    profile = read_profile(folder, "tiny")
    return profile, Transformer(profile, load_weights(folder, profile), CPU, torch.float32)


def batch_of(profile: ModelProfile, lengths: list[int]) -> Batch:
    """Random rows of these lengths."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(5, profile.vocabulary, length).astype(np.int32) for length in lengths]
    return Batch.of([Row(ids, np.zeros_like(ids)) for ids in rows])


@pytest.mark.parametrize("family", OF_TORCH)
def test_logits_equal_transformers(family: str, checkpoint: Callable[..., Path]) -> None:
    """Every query with every text in one batch, in small ones, and alone: |difference| <= 1e-4."""
    folder = checkpoint(family)
    expected = reference_logits(folder, PAIRS, 64)
    assert np.ptp(expected) > 0.5
    for batch_tokens in (1, 200, None):
        ours = torch_scores(folder, batch_tokens=batch_tokens)
        np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("deberta-v2", {"share_att_key": False}),
        ("deberta-v2", {"pos_att_type": ["c2p"], "norm_rel_ebd": "none"}),
        ("deberta-v2", {"pos_att_type": "p2c", "position_buckets": -1, "share_att_key": False}),
        ("deberta-v2", {"pos_att_type": [], "max_relative_positions": 20}),
        ("deberta-v2", {"position_biased_input": True}),
        ("deberta-v2", {"type_vocab_size": 2}),
        ("deberta-v2", {"embedding_size": 12}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 2, "head_dim": None}),
        ("llama", {"rope_scaling": LLAMA3}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 30.0}}),
        ("mistral", {"sliding_window": 7}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 5}),
        (
            "qwen3",
            {
                "attention_bias": True,
                "layer_types": ["sliding_attention", "full_attention"],
                "sliding_window": 9,
                "use_sliding_window": True,
            },
        ),
        ("gemma", {"hidden_act": "gelu_pytorch_tanh", "num_key_value_heads": 2}),
        ("modernbert", {"classifier_pooling": "cls", "local_attention": 6}),
    ],
)
def test_every_setting_equals_transformers(
    family: str, config: dict[str, Any], checkpoint: Callable[..., Path]
) -> None:
    """What a family's config.json can say is computed as transformers computes it."""
    folder = checkpoint(family, config=config)
    assert not read_profile(folder, "tiny").family.foreign
    np.testing.assert_allclose(torch_scores(folder), reference_logits(folder, PAIRS, 64), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", OF_TORCH)
def test_bf16_is_as_close_as_transformers_is(family: str, checkpoint: Callable[..., Path]) -> None:
    """Off the fp32 logits by no more than transformers' own bf16 is, in whichever batches it computes them.

    A quarter more on average, and half more for the worst pair, is the chance of 44 pairs of a tiny model.
    """
    folder = checkpoint(family)
    exact = reference_logits(folder, PAIRS, 64)
    theirs = np.array([np.abs(bf16_reference(folder, size) - exact) for size in (1, 5, len(PAIRS))])
    for batch_tokens in (1, 300, None):
        ours = np.abs(torch_scores(folder, precision="bf16", batch_tokens=batch_tokens) - exact)
        assert ours.mean() <= 1.25 * theirs.mean(axis=1).max()
        assert ours.max() <= 1.5 * theirs.max()


def bf16_reference(folder: Path, batch_size: int) -> np.ndarray:
    """transformers in bf16, padded batches of a size."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16).eval()
    logits = []
    with torch.inference_mode():
        for start in range(0, len(PAIRS), batch_size):
            queries, documents = zip(*PAIRS[start : start + batch_size], strict=True)
            options = {"padding": True, "truncation": "only_second", "max_length": 64, "return_tensors": "pt"}
            logits.append(model(**tokenizer(list(queries), list(documents), **options)).logits[:, 0].float().numpy())
    return np.concatenate(logits)


@pytest.mark.parametrize("family", OF_TORCH)
def test_places_that_belong_to_no_row_change_nothing(family: str, checkpoint: Callable[..., Path]) -> None:
    """A batch laid out in the shape that a CUDA graph has gives the same logits."""
    profile, net = net_of(checkpoint(family))
    lengths = [3, 17, 64, 17, 5]
    batch = batch_of(profile, lengths)
    shape = Shape.of(len(batch.ids), len(lengths), max(lengths))
    assert shape.tokens > len(batch.ids)
    assert shape.rows > len(lengths)
    plain = net(unpacked(torch.from_numpy(packed(batch, profile)), len(batch.ids), 64, tuple(lengths)))
    laid_out = packed(batch, profile, tokens=shape.tokens, rows=shape.rows)
    padded = net(unpacked(torch.from_numpy(laid_out), shape.tokens, shape.longest, tuple(lengths)))
    np.testing.assert_allclose(padded[: len(lengths)], plain, atol=1e-5, rtol=0)


def test_shapes_hold_their_batches_and_are_few() -> None:
    """No shape is smaller than its batch, none much larger, and thousands of batches share a few dozen."""
    shapes = {}
    for tokens in range(1, 16_385, 37):
        shape = Shape.of(tokens, tokens // 90 + 1, 200)
        assert tokens <= shape.tokens <= max(256, 1.25 * tokens + 1)
        assert shape.rows >= tokens // 90 + 1
        assert shape.longest == 224
        shapes[shape.tokens] = shape
    assert len(shapes) < 40


def test_buckets_hold_every_row_once_and_waste_little() -> None:
    """Rows of about one length stand together; long ones are few at a time."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 512, 400).tolist()
    buckets = by_length(lengths, SCORES_MAX, power=2)
    assert sorted(row for bucket in buckets for row in bucket) == list(range(400))
    for bucket in buckets:
        assert max(lengths[r] for r in bucket) <= max(
            1.125 * min(lengths[r] for r in bucket), min(lengths[r] for r in bucket) + 8
        )
        assert len(bucket) * max(lengths[r] for r in bucket) ** 2 <= 1 << 24
    assert [len(bucket) for bucket in by_length([8192] * 3, SCORES_MAX, power=2)] == [1, 1, 1]


class Bounded:
    """A net whose device has memory for so many tokens at a time."""

    kernel = "padded"

    def __init__(self, net: Transformer, tokens_max: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        self.net, self.tokens_max, self.error = net, tokens_max, error
        self.passes: list[int] = []

    def __call__(self, rows: Rows) -> torch.Tensor:
        self.passes.append(len(rows.ids))
        if len(rows.ids) > self.tokens_max:
            raise self.error("CUDA out of memory. Tried to allocate everything.\nA hint of torch's.")
        return self.net(rows)


def test_short_memory_shrinks_passes_and_repeats_only_what_failed(checkpoint: Callable[..., Path]) -> None:
    """The logits are those of enough memory, what passed is not run again, and the limit is remembered."""
    profile, net = net_of(checkpoint("bert"))
    bounded = Bounded(net, 100)
    backend = TorchBackend(profile, lambda *_: bounded, Place(CPU, "fp32"), batch_tokens=400)
    batch = batch_of(profile, [20] * 20)
    expected = TorchBackend(profile, lambda *_: net, Place(CPU, "fp32")).run(batch)
    np.testing.assert_allclose(backend.run(batch), expected, atol=1e-5, rtol=0)
    assert bounded.passes == [400, 200, 100, 100, 200, 100, 100]
    assert backend.limits.tokens_max == 100
    scorer = replace(open_scorer(OpenConfig(str(checkpoint("bert")), backend="torch", device="cpu")), backend=backend)
    bounded.passes.clear()
    from crossrank.engine.pair import Pair

    scorer.score([Pair("fox", f"document {i}") for i in range(100)])
    assert max(bounded.passes) <= 100


def test_memory_for_not_even_one_row_is_an_error_with_a_remedy(checkpoint: Callable[..., Path]) -> None:
    """The message says how long the row is; errors of another kind are not masked."""
    profile, net = net_of(checkpoint("bert"))
    backend = TorchBackend(profile, lambda *_: Bounded(net, 10), Place(CPU, "fp32"))
    with pytest.raises(errors.OutOfMemoryError, match=r"20 tokens.*max_length") as caught:
        backend.run(batch_of(profile, [5, 20]))
    assert isinstance(caught.value, MemoryError)

    class Broken(Bounded):
        def __call__(self, rows: Rows) -> torch.Tensor:
            raise RuntimeError("an assertion of CUDA's")

    with pytest.raises(RuntimeError, match="an assertion"):
        TorchBackend(profile, lambda *_: Broken(net, 0), Place(CPU, "fp32")).run(batch_of(profile, [5]))


def test_halves_are_in_order_and_never_empty() -> None:
    """Every split leaves both sides a row, and loses none."""
    for lengths in ([1, 1], [100, 1], [1, 100], [1, 1, 100], [7] * 9):
        rows = [np.full(length, i, np.int32) for i, length in enumerate(lengths)]
        first, second = halves(Batch.of([Row(ids, ids) for ids in rows]))
        assert len(first.offsets) > 1
        assert len(second.offsets) > 1
        assert np.concatenate([first.ids, second.ids]).tolist() == np.concatenate(rows).tolist()
        assert second.offsets[0] == 0
        assert np.diff(first.offsets).tolist() + np.diff(second.offsets).tolist() == lengths


@pytest.mark.parametrize("name", ["distilbert", "albert", "mpnet"])
def test_what_only_transformers_knows_runs_through_it(
    name: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """A family without a net of ours scores as transformers does, and "auto" finds the way."""
    folder = foreign_checkpoint(name, checkpoint("bert"), tmp_path / name)
    pairs = [pair for pair in PAIRS if "[PAD]" not in pair[1]]
    expected = reference_logits(folder, pairs, 64)
    options = {"precision": "fp32", "long_documents": "truncate", "max_length": 64, "cache": None}
    with Reranker(str(folder), device="cpu", **options) as reranker:
        assert "torch/transformers" in repr(reranker)
        np.testing.assert_allclose(reranker.score(pairs, raw=True), expected, atol=TOLERANCE, rtol=0)


def test_a_foreign_checkpoint_that_lacks_its_head_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """transformers would make one up; nothing is scored with it."""
    from safetensors.torch import load_file, save_file

    folder = foreign_checkpoint("distilbert", checkpoint("bert"), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pre_classifier")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(errors.WeightsError, match="pre_classifier"):
        Reranker(str(folder), device="cpu")


def test_ten_thousand_documents_stream_through(checkpoint: Callable[..., Path]) -> None:
    """No pass is larger than the limit, whatever the number of documents."""
    profile, net = net_of(checkpoint("bert"))
    bounded = Bounded(net, 20_000)
    backend = TorchBackend(profile, lambda *_: bounded, Place(CPU, "fp32"), batch_tokens=2_000)
    opened = open_scorer(OpenConfig(str(checkpoint("bert")), backend="torch", device="cpu", cache=None))
    from crossrank.engine.pair import Pair

    outcome = replace(opened, backend=backend).score([Pair("fox", f"document {i}") for i in range(10_000)])
    assert len(outcome.results) == 10_000
    assert max(bounded.passes) <= 2_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda", "backend": "torch"}, "without CUDA|no GPU"),
        ({"device": "cuda:99"}, "without CUDA|no GPU|there are"),
        ({"device": "mps"}, "no Metal GPU"),
        ({"device": "tpu"}, "auto, cpu, cuda, cuda:N"),
        ({"device": "cuda:x"}, "auto, cpu, cuda, cuda:N"),
        ({"device": 1}, "auto, cpu, cuda, cuda:N"),
        ({"backend": "torch", "device": "cpu", "precision": "int8"}, "fp32, bf16, fp16"),
        ({"backend": "native", "device": "cuda"}, "runs on the CPU"),
        ({"backend": "torch", "device": "cpu", "compile": True}, "CUDA"),
        ({"backend": "native", "compile": True}, "torch engine"),
        ({"backend": "torch", "device": "cpu", "max_length": 65}, "can read: 64"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_at_load(
    options: dict[str, Any], says: str, checkpoint: Callable[..., Path]
) -> None:
    """A device, a precision or a length that there is not: what was asked for, and what there is."""
    if torch.cuda.is_available() and "cuda" in str(options.get("device")) and "native" not in options.values():
        pytest.skip("there is a GPU")
    with pytest.raises(errors.UsageError, match=says):
        Reranker(str(checkpoint("bert")), **options)


def test_a_family_of_torch_alone_is_refused_by_the_native_engine(checkpoint: Callable[..., Path]) -> None:
    """It names what it has."""
    with pytest.raises(errors.UnsupportedModelError, match="deberta-v2; the native engine runs bert"):
        Reranker(str(checkpoint("deberta-v2")), backend="native")


def test_auto_takes_the_native_engine_where_it_can(checkpoint: Callable[..., Path]) -> None:
    """On the CPU: the families that it has run there, all others on torch."""
    for family in OF_TORCH:
        with Reranker(str(checkpoint(family)), device="cpu") as reranker:
            native = FAMILIES[family].tensors in ("bert", "modernbert")
            assert repr(reranker).split(", ")[1].startswith("native" if native else "torch/padded")


def test_place_says_what_it_is() -> None:
    """On a CPU "auto" computes in fp32."""
    place = place_for("cpu", "auto")
    assert (place.precision, place.name, place.cuda) == ("fp32", "cpu", False)
