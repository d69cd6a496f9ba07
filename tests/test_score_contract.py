"""The score contract of the public face, line by line."""

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import changed_checkpoint
from crossrank import CrossrankError, Reranker, errors
from crossrank.backends.contract import Batch, Limits
from crossrank.checkpoint.families import FAMILIES as KNOWN
from crossrank.engine.cache import MemoryCache
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair, Scored
from crossrank.engine.scorer import Scorer
from crossrank.schedule.scheduler import Scheduler
from crossrank.testing import FakeBackend
from engines import ENGINES, FAMILIES
from fakes import fake_scorer

TORCH = [("torch", "fp32"), ("torch", "bf16")]
DOCUMENTS = [f"document {i} " + "the quick brown fox " * (i % 9) for i in range(40)]


@pytest.fixture(params=["native", "torch"])
def opens(request: pytest.FixtureRequest) -> Callable[..., Reranker]:
    """Opens a model on each engine in turn."""
    return partial(Reranker, backend=request.param, device="cpu")


def chosen(isa: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options for an engine: torch, or the native one with an instruction set."""
    if isa == "torch":
        return {"backend": "torch", "device": "cpu", "precision": precision}
    monkeypatch.setenv("CROSSRANK_ISA", isa)
    return {"backend": "native", "precision": precision}


def same(one: np.ndarray, other: np.ndarray, opens: Callable[..., Reranker]) -> bool:
    """Whether logits are what the engine promises in different batches: the same bits, from torch to 1e-5."""
    return bool(np.all(one == other) if opens.keywords["backend"] == "native" else np.all(abs(one - other) <= 1e-5))


@pytest.mark.property
@pytest.mark.parametrize(("isa", "precision"), ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_1_a_pair_has_the_same_bits_in_any_batch(
    family: str, isa: str, precision: str, checkpoint: Callable[..., Path], data: st.DataObject
) -> None:
    """Shuffled, split, batched differently, on another number of threads: the same bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSRANK_ISA", isa)
        texts = data.draw(st.lists(st.text(alphabet="abc déf.北", max_size=120), min_size=1, max_size=24))
        order = data.draw(st.permutations(range(len(texts))))
        cut = data.draw(st.integers(0, len(texts)))
        threads, batch_tokens = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 400))
        pairs = [("abc déf", text) for text in texts]
        options = {"model": str(checkpoint(family)), "precision": precision, "cache": None}
        with Reranker(**options, threads=1) as one:
            expected = one.score(pairs, raw=True)
        with Reranker(**options, threads=threads, batch_tokens=batch_tokens) as other:
            shuffled = other.score([pairs[i] for i in order], raw=True)
            split = np.concatenate([other.score(pairs[:cut], raw=True), other.score(pairs[cut:], raw=True)])
    assert shuffled.tobytes() == expected[list(order)].tobytes()
    assert split.tobytes() == expected.tobytes()


@pytest.mark.property
@pytest.mark.parametrize("family", [name for name, family in KNOWN.items() if not family.foreign])
@given(data=st.data())
def test_1_on_torch_a_pair_has_the_same_logit_in_any_batch(
    family: str, checkpoint: Callable[..., Path], data: st.DataObject
) -> None:
    """Shuffled, split, batched differently: the same logit to 1e-5 in fp32."""
    texts = data.draw(st.lists(st.text(alphabet="abc déf.北", max_size=120), min_size=1, max_size=24))
    order = data.draw(st.permutations(range(len(texts))))
    cut, batch_tokens = data.draw(st.integers(0, len(texts))), data.draw(st.integers(1, 400))
    pairs = [("abc déf", text) for text in texts]
    asked = {"template": "bge-reranker-layerwise"} if KNOWN[family].exits else {}
    folder = checkpoint(family, **asked, **({"max_length": 512} if asked else {}))
    options = {"backend": "torch", "device": "cpu", "precision": "fp32", "cache": None, "allow_unverified": True}
    opens = partial(Reranker, str(folder), **options, **asked)
    with opens() as one, opens(batch_tokens=batch_tokens) as other:
        expected = one.score(pairs, raw=True)
        shuffled = other.score([pairs[i] for i in order], raw=True)
        split = np.concatenate([other.score(pairs[:cut], raw=True), other.score(pairs[cut:], raw=True)])
    np.testing.assert_allclose(shuffled, expected[list(order)], atol=1e-5, rtol=0)
    np.testing.assert_allclose(split, expected, atol=1e-5, rtol=0)


def test_1_a_cached_score_is_the_one_that_was_computed(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """A score from the cache is the one that was computed, and equal pairs in a call are computed once."""
    with opens(str(checkpoint("bert"))) as cached, opens(str(checkpoint("bert")), cache=None) as fresh:
        first, second = cached.rank("fox", DOCUMENTS + DOCUMENTS[:5]), cached.rank("fox", DOCUMENTS)
        expected = fresh.score([("fox", text) for text in DOCUMENTS], raw=True)
    assert first.usage["pairs"] == len(DOCUMENTS)
    assert (second.usage["cached"], second.usage["pairs"]) == (len(DOCUMENTS), 0)
    assert [(hit.index, hit.logit) for hit in second] == [
        (hit.index, hit.logit) for hit in first if hit.index < len(DOCUMENTS)
    ]
    for hit in [*first, *second]:
        assert same(np.float32(hit.logit), expected[hit.index % len(DOCUMENTS)], opens)


def test_2_ranking_is_on_the_logit_and_equal_logits_keep_the_callers_order(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """Logits that the sigmoid cannot tell apart are still ranked by, and ties stay in input order."""
    logits = dict(zip("abcdefgh", [30, 40, 35, -3, 40, 30, 50, -3], strict=True))
    reranker = opens(str(checkpoint("bert")), cache=None)
    scorer = fake_scorer(checkpoint("bert"), FakeBackend(lambda ids: 0.0))
    tokens = scorer.encoder.tokens(logits)
    by_id = {int(tokens[text].ids[0]): logit for text, logit in logits.items()}
    assert len(by_id) == len(logits)
    backend = FakeBackend(lambda ids: by_id[int(ids[-2])])
    reranker._engine = Scheduler(Scorer(scorer.profile, scorer.encoder, backend, None, b""))
    ranking = reranker.rank("query", list(logits))
    assert [hit.text for hit in ranking] == list("gbecafdh")
    assert ranking[0].score == ranking[1].score == ranking[3].score == 1.0
    assert all(type(hit.score) is float and type(hit.logit) is float for hit in ranking)
    assert [hit.rank for hit in ranking] == list(range(1, 9))


def test_3_a_query_is_never_cut_and_a_cut_document_says_so(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """A query that does not fit is an error; documents are chunked or cut, and the hit tells which."""
    folder, long_text = str(checkpoint("bert")), "the quick brown fox. " * 60
    with opens(folder) as chunking, opens(folder, long_documents="truncate") as truncating:
        for reranker in (chunking, truncating):
            with pytest.raises(errors.QueryTooLongError):
                reranker.rank("python " * 80, ["a document"])
        (chunked,), (truncated,) = chunking.rank("fox", [long_text]), truncating.rank("fox", [long_text])
        (whole,) = chunking.rank("fox", ["a fox"])
    assert chunked.truncated is False
    assert truncated.truncated is True
    assert truncated.passage is not None
    assert truncated.passage[1] < len(long_text)
    assert whole.truncated is False
    assert whole.passage == (0, 5)
    assert chunked.tokens == truncated.tokens
    assert chunked.tokens is not None
    assert chunked.tokens > 64


def test_3_a_long_documents_score_is_that_of_its_best_window(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """The passage of a chunked document, scored as a document of its own, has the document's logit."""
    text = "the quick brown fox jumps over the lazy dog. natural selection is its theme. " * 12
    with opens(str(checkpoint("bert")), cache=None) as reranker:
        (hit,) = reranker.rank("who created python", [text])
        start, end = hit.passage
        alone = reranker.score([("who created python", text[start:end])], raw=True)
    assert same(np.float32(hit.logit), alone[0], opens)


def test_3_what_is_beyond_windows_max_is_reported(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """A document of more windows than `windows_max` is marked as truncated."""
    with opens(str(checkpoint("bert")), windows_max=2) as reranker:
        (hit,) = reranker.rank("fox", ["the quick brown fox. " * 200])
    assert hit.truncated is True


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_4_a_logit_that_is_not_finite_never_ranks(broken: float, checkpoint: Callable[..., Path]) -> None:
    """It is computed again in fp32, only that row; if it stays, the error names the pair."""

    class Sometimes(FakeBackend):
        def run(self, batch: object, *, exact: bool = False) -> np.ndarray:
            logits = super().run(batch, exact=exact)
            return logits if not exact or self.stays else np.ones_like(logits)

    pairs = [Pair("query", text) for text in ("fox", "dog", "zebra")]
    tokens = fake_scorer(checkpoint("bert"), FakeBackend(lambda ids: 0.0)).encoder.tokens(["dog"])
    bad = int(tokens["dog"].ids[0])
    for stays in (False, True):
        backend = Sometimes(lambda ids: broken if bad in ids else 0.5)
        backend.stays = stays
        scorer = fake_scorer(checkpoint("bert"), backend)
        if stays:
            with pytest.raises(errors.NotFiniteError, match=r"'query'.*'dog'"):
                scorer.score(pairs)
        else:
            results = scorer.score(pairs).results
            assert [results[pair].logit for pair in pairs] == [0.5, 1.0, 0.5]
        assert backend.exact_rows == 1


def test_4_a_cache_that_holds_no_numbers_is_not_believed(
    opens: Callable[..., Reranker], checkpoint: Callable[..., Path]
) -> None:
    """NaN out of a score cache is scored anew."""

    class Spoilt(MemoryCache):
        def get_many(self, keys: object) -> dict[bytes, Scored]:
            return {key: replace(scored, logit=math.nan) for key, scored in super().get_many(keys).items()}

    with opens(str(checkpoint("bert")), cache=Spoilt()) as reranker:
        first, second = reranker.rank("fox", DOCUMENTS), reranker.rank("fox", DOCUMENTS)
    assert first.scores == second.scores
    assert all(math.isfinite(score) for score in second.scores)


@pytest.mark.parametrize(("isa", "precision"), [*ENGINES, ("torch", "fp32")])
def test_4_an_overflow_inside_the_model_is_no_number(
    isa: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights so large that LayerNorm overflows give an error that names the pair, not a plausible score."""
    options = chosen(isa, precision, monkeypatch)

    def enlarge(weights: dict[str, np.ndarray]) -> None:
        weights["layers.0.ffn.down.weight"] *= np.float32(1e25)

    folder = changed_checkpoint(tmp_path / "huge", enlarge)
    scorer = open_scorer(OpenConfig(str(folder), **options, self_test=False))
    with pytest.raises(errors.NotFiniteError, match=r"'fox'.*'dog'"):
        scorer.score([Pair("fox", "dog")])


@pytest.mark.parametrize(("isa", "precision"), [*ENGINES, *TORCH])
def test_4_what_only_a_lower_precision_cannot_compute_is_computed_in_fp32(
    isa: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights at the end of fp32's range, on inputs of 0: no number in bf16 or int8, one in fp32, which counts."""
    options = chosen(isa, precision, monkeypatch)

    def break_the_others(weights: dict[str, np.ndarray]) -> None:
        two = [0, 16]  # that int8 adds up before it rounds
        weights["layers.0.ffn.up.weight"][two] = 0
        weights["layers.0.ffn.up.bias"][two] = -100  # of which GELU makes 0
        weights["layers.0.ffn.down.weight"][:, two] = np.finfo(np.float32).max

    folder, texts = str(changed_checkpoint(tmp_path / "broken", break_the_others)), ["dog", "the quick brown fox"]
    with Reranker(folder, **{**options, "precision": "fp32"}) as exact, Reranker(folder, **options) as reranker:
        expected, ranking = exact.rank("fox", texts), reranker.rank("fox", texts)
        backend = reranker._engine.scorer.backend
        batch = Batch.of(
            [row for item in reranker._engine.scorer.encoder.encode([Pair("fox", "dog")], {}) for row in item.rows]
        )
        assert np.isfinite(backend.run(batch)).all() == (precision == "fp32")
        assert backend.run(batch, exact=True).tobytes() == exact._engine.scorer.backend.run(batch).tobytes()
    assert [(hit.index, hit.logit) for hit in ranking] == [(hit.index, hit.logit) for hit in expected]


def test_6_empty_and_wrong_input(bundled: Reranker) -> None:
    """No documents: an empty ranking. "" is a document. What is no document is a TypeError that names its index."""
    assert len(bundled.rank("query", [])) == 0
    assert bundled.score([]).shape == (0,)
    (hit,) = bundled.rank("query", [""])
    assert hit.text == ""
    assert math.isfinite(hit.logit)
    for documents, name in (
        (["a", None], r"documents\[1\] is None"),
        (["a", "b", 3.5], r"documents\[2\] is float"),
        ("a document", "not one str"),
        (None, "not NoneType"),
        (7, "not int"),
        ({"text": "a"}, "not one dict"),
    ):
        with pytest.raises(TypeError, match=name) as caught:
            bundled.rank("query", documents)
        assert isinstance(caught.value, CrossrankError)
    with pytest.raises(TypeError, match=r"query must be a str, not list.*rank\(query, documents\)"):
        bundled.rank(["a document"], "query")
    for query in ("", "  \n"):
        with pytest.raises(ValueError, match="query is empty"):
            bundled.rank(query, ["a"])
    for pairs, name in (
        ([("q", "d"), ("q", None)], r"the document of pairs\[1\] is None"),
        ([("q",)], r"pairs\[0\] is tuple"),
        (["q"], r"pairs\[0\] is str"),
        ("q", "not one str"),
        ([(None, "d")], r"pairs\[0\] must be a str"),
    ):
        with pytest.raises(TypeError, match=name):
            bundled.score(pairs)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"top_k": 0}, ValueError),
        ({"top_k": -1}, ValueError),
        ({"top_k": 2.5}, TypeError),
        ({"top_k": True}, TypeError),
        ({"threshold": "high"}, TypeError),
        ({"threshold": math.nan}, ValueError),
        ({"deadline_s": "soon"}, TypeError),
        ({"deadline_s": math.nan}, ValueError),
        ({"threshold": 10**400}, ValueError),
        ({"fields": "title"}, TypeError),
        ({"fields": []}, ValueError),
    ],
)
def test_6_options_of_rank_are_checked(options: dict[str, object], error: type[Exception], bundled: Reranker) -> None:
    """A value that cannot be taken is ours and the built-in that fits."""
    with pytest.raises(error) as caught:
        bundled.rank("query", ["a"], **options)
    assert isinstance(caught.value, CrossrankError)


@pytest.mark.parametrize("deadline_s", [0, -1.0])
def test_7_a_deadline_that_has_passed_keeps_every_document(deadline_s: float, bundled: Reranker) -> None:
    """Nothing is scored, nothing is lost: all documents follow in input order, unscored."""
    ranking = bundled.rank("query", DOCUMENTS, deadline_s=deadline_s)
    assert ranking.indices == list(range(len(DOCUMENTS)))
    assert all(hit.score is hit.logit is hit.scored_by is None for hit in ranking)


def test_7_a_deadline_cuts_a_ranking_short(opens: Callable[..., Reranker], checkpoint: Callable[..., Path]) -> None:
    """Documents that were reached are ranked by logit; the others follow in input order."""
    reranker = opens(str(checkpoint("bert")), cache=None)
    skew = [0.0]  # seconds that the clock jumps ahead once twenty rows have been scored

    def logit(ids: np.ndarray) -> float:
        if len(backend.batches) > 1:
            skew[0] = 1e6
        return float(ids[-2])

    backend = FakeBackend(logit, Limits(tokens_max=512, rows_max=20))
    scorer = fake_scorer(checkpoint("bert"), backend)
    reranker._engine = Scheduler(scorer, clock=lambda: time.monotonic() + skew[0])
    texts = [f"document {word} {i}" for word in ("fox", "dog", "zebra") for i in range(60)]
    ranking = reranker.rank("query", texts, deadline_s=1000)
    scored = [hit for hit in ranking if hit.score is not None]
    rest = [hit for hit in ranking if hit.score is None]
    assert sorted(ranking.indices) == list(range(len(texts)))
    assert 0 < len(scored) < len(texts)
    assert [hit.logit for hit in scored] == sorted((hit.logit for hit in scored), reverse=True)
    assert [hit.index for hit in ranking[: len(scored)]] == [hit.index for hit in scored]
    assert [hit.index for hit in rest] == sorted(hit.index for hit in rest)


def test_7_every_error_is_ours_and_a_built_in() -> None:
    """Each class of the tree derives from CrossrankError and from the built-in that fits, and stands in the drawing."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c is not CrossrankError]
    assert len(classes) > 10
    built_in = ValueError | TypeError | OSError | RuntimeError | ImportError | ArithmeticError | MemoryError
    for error in classes:
        assert issubclass(error, CrossrankError)
        assert issubclass(error, built_in)
        assert error.__name__ in (errors.__doc__ or "")


def test_memory_cache_is_bounded() -> None:
    """The least recently used scores make room."""
    cache = MemoryCache(entries_max=2)
    cache.put_many({b"a": 1, b"b": 2})
    cache.get_many([b"a"])
    cache.put_many({b"c": 3})
    assert cache.get_many([b"a", b"b", b"c"]) == {b"a": 1, b"c": 3}
    assert len(cache) == 2
