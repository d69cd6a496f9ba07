"""`CrossEncoder` is sentence-transformers' class for applications: arguments, prompts, several labels, and the field's
classic tutorial with its import changed."""

import asyncio
import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from checkpoints import with_labels
from crossrank import CrossEncoder, CrossEncoderReranker, Reranker, errors
from parity import PAIRS, TOLERANCE, label_logits
from warned import warns

QUERY = "who created python"
DOCUMENTS = [
    "The Eiffel Tower is in Paris.",
    "Python was created by Guido van Rossum and first released in 1991.",
    "Pythons are snakes that live in Africa, Asia and Australia.",
    "Java was designed by James Gosling at Sun Microsystems.",
]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return CrossEncoder()


def test_meaningless_arguments_are_told_of_once(checkpoint: Callable[..., Path]) -> None:
    """Each once a model, where it is called, with what to do instead; None and False ask for nothing."""
    with warns(r"CrossEncoder\(\): trust_remote_code= has no effect in crossrank") as told:
        model = CrossEncoder(str(checkpoint("bert")), trust_remote_code=True, token=None, local_files_only=False)
    assert [Path(warning.filename).name for warning in told] == [Path(__file__).name]
    with warns(r"predict\(\): num_workers= has no effect") as told:
        model.predict([("a", "b")] * 3, num_workers=2)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.predict([("a", "b")], num_workers=2)
        model.rank("a", ["b"], num_workers=0, pool=None)


def test_unknown_arguments_fail(model: CrossEncoder) -> None:
    """With the argument that was likely meant."""
    with pytest.raises(TypeError, match=r"CrossEncoder\(\) got an unexpected argument 'max_lenght'.*'max_length'"):
        CrossEncoder(max_lenght=128)
    with pytest.raises(TypeError, match=r"predict\(\) got an unexpected argument 'batchsize'.*'batch_size'"):
        model.predict([("a", "b")], batchsize=3)
    with pytest.raises(TypeError, match=r"unexpected argument 'zzz'. Allowed: "):
        model.rank("a", ["b"], zzz=1)
    with pytest.raises(ValueError, match="num_labels=3, but the checkpoint has a head of 1"):
        CrossEncoder(num_labels=3)


def test_names_of_older_versions(model: CrossEncoder) -> None:
    """`model_name_or_path`, `sentences`, `activation_fct`; both names at once are a mistake."""
    pairs = [(QUERY, text) for text in DOCUMENTS]
    assert CrossEncoder(model_name_or_path="crossrank-mini", num_labels=1).predict(sentences=pairs).shape == (4,)
    assert model.predict(pairs, activation_fct=lambda logits: logits * 0).tolist() == [0] * 4
    with pytest.raises(TypeError, match="got both 'model_name' and 'model_name_or_path'"):
        CrossEncoder("crossrank-mini", model_name_or_path="crossrank-mini")
    assert model.max_seq_length == model.max_length == 256
    assert model.device == "cpu"


def test_prompts_equal_sentence_transformers(checkpoint: Callable[..., Path]) -> None:
    """They go before the query: by name, by default or as they are; a name that is not there is an error."""
    from sentence_transformers import CrossEncoder as Reference

    folder, prompts = str(checkpoint("bert")), {"ask": "The quick brown fox: ", "none": ""}
    ours = CrossEncoder(folder, prompts=prompts, default_prompt_name="ask")
    reference = Reference(folder, device="cpu", prompts=prompts, default_prompt_name="ask")
    pairs = [(QUERY, text) for text in DOCUMENTS]
    for options in ({}, {"prompt_name": "none"}, {"prompt": "zebras jump "}):
        expected = reference.predict(pairs, **options)
        np.testing.assert_allclose(ours.predict(pairs, **options), expected, atol=TOLERANCE)
        ranked = [hit["corpus_id"] for hit in reference.rank(QUERY, DOCUMENTS, **options)]
        assert [hit["corpus_id"] for hit in ours.rank(QUERY, DOCUMENTS, **options)] == ranked
    copy = pickle.loads(pickle.dumps(ours))
    assert copy.predict(pairs).tolist() == ours.predict(pairs).tolist() != copy.predict(pairs, prompt="").tolist()
    with pytest.raises(ValueError, match="no prompt named 'nope'; the model has: 'ask', 'none'"):
        ours.predict(pairs, prompt_name="nope")
    with pytest.raises(ValueError, match="no prompt named 'nope'"):
        CrossEncoder(folder, default_prompt_name="nope")


@pytest.mark.parametrize("labels", [2, 3])
def test_several_labels_give_rows_of_scores(labels: int, checkpoint: Callable[..., Path]) -> None:
    """As sentence-transformers does: logits [n, labels], softmax and activations on request; no rank()."""
    from sentence_transformers import CrossEncoder as Reference

    folder = with_labels(checkpoint, "bert", labels)
    ours, reference = CrossEncoder(str(folder)), Reference(str(folder), device="cpu")
    np.testing.assert_allclose(ours.predict(PAIRS), label_logits(folder), atol=TOLERANCE)
    for options in ({}, {"apply_softmax": True}, {"convert_to_tensor": True}):
        left, right = ours.predict(PAIRS, **options), reference.predict(PAIRS, **options)
        assert type(left) is type(right)
        np.testing.assert_allclose(np.asarray(left), np.asarray(right), atol=TOLERANCE)
    assert ours.predict(PAIRS[0]).shape == reference.predict(PAIRS[0]).shape == (labels,)
    assert ours.predict(PAIRS[:3], activation_fn=lambda rows: rows * 0).tolist() == [[0] * labels] * 3
    assert len(ours.predict([])) == 0
    with pytest.raises(ValueError, match=r"rank\(\) needs a model with one label, and this one has"):
        ours.rank("a", ["b"])


def test_classes_with_names(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A classifier of entailment gives a row of logits; as a Reranker it is refused."""
    from sentence_transformers import CrossEncoder as Reference

    folder = str(shutil.copytree(with_labels(checkpoint, "bert", 3), tmp_path / "nli"))
    config, names = json.loads(Path(folder, "config.json").read_text()), ("contradiction", "entailment", "neutral")
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    Path(folder, "config.json").write_text(json.dumps(config))
    expected = Reference(folder, device="cpu").predict(PAIRS)
    model = CrossEncoder(folder)
    np.testing.assert_allclose(model.predict(PAIRS), expected, atol=TOLERANCE)
    assert pickle.loads(pickle.dumps(model)).predict(PAIRS).tolist() == model.predict(PAIRS).tolist()
    with pytest.raises(errors.UnsupportedModelError, match="It looks like a classifier"):
        Reranker(folder)


# The classic tutorial, block by block; only the import differs.


def test_tutorial_predict_and_sort(model: CrossEncoder) -> None:
    """`predict`, then sort the documents by their scores."""
    scores = model.predict([[QUERY, document] for document in DOCUMENTS])
    ranked = sorted(zip(DOCUMENTS, scores, strict=True), key=lambda item: item[1], reverse=True)
    assert ranked[0][0] == DOCUMENTS[1]


def test_tutorial_batched(model: CrossEncoder) -> None:
    """A batched `rerank_documents` with argsort."""

    def rerank_documents(query: str, documents: list[str], top_k: int = 10, batch_size: int = 32) -> list:
        pairs = [(query, document) for document in documents]
        scores = model.predict(pairs, batch_size=batch_size, show_progress_bar=False)
        best = np.argsort(scores)[::-1][:top_k]
        return [(documents[i], float(scores[i])) for i in best]

    assert rerank_documents(QUERY, DOCUMENTS, top_k=2)[0][0] == DOCUMENTS[1]


def test_tutorial_gpu_switch() -> None:
    """A device, and a batch size for it."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = CrossEncoder("crossrank-mini", max_length=128, device=device)
    batch_size = 64 if device == "cuda" else 16
    assert model.predict([(QUERY, DOCUMENTS[1])], batch_size=batch_size).shape == (1,)


def test_tutorial_async_class() -> None:
    """A class around a thread pool, awaited by several callers at a time."""

    class AsyncReranker:
        def __init__(self, model_name: str | None = None) -> None:
            self.model = CrossEncoder(model_name)
            self.executor = ThreadPoolExecutor(max_workers=4)

        async def rerank(self, query: str, documents: list[str]) -> list[str]:
            loop = asyncio.get_running_loop()
            pairs = [(query, document) for document in documents]
            scores = await loop.run_in_executor(self.executor, self.model.predict, pairs)
            return [documents[i] for i in np.argsort(scores)[::-1]]

    async def main() -> list[list[str]]:
        reranker = AsyncReranker()
        return await asyncio.gather(*(reranker.rerank(QUERY, DOCUMENTS) for _ in range(8)))

    assert all(best[0] == DOCUMENTS[1] for best in asyncio.run(main()))


def test_tutorial_cached_class() -> None:
    """A class with an LRU cache of scores."""

    class CachedReranker:
        def __init__(self, model_name: str | None = None, cache_size: int = 1000) -> None:
            self.model = CrossEncoder(model_name)
            self._score = lru_cache(maxsize=cache_size)(self._compute)

        def _compute(self, query: str, document: str) -> float:
            return float(self.model.predict([(query, document)])[0])

        def rerank(self, query: str, documents: list[str]) -> list[tuple[str, float]]:
            return sorted(((d, self._score(query, d)) for d in documents), key=lambda item: item[1], reverse=True)

    reranker = CachedReranker(cache_size=1000)
    assert reranker.rerank(QUERY, DOCUMENTS) == reranker.rerank(QUERY, DOCUMENTS)
    assert reranker._score.cache_info().hits == len(DOCUMENTS)


def test_tutorial_dicts() -> None:
    """Dicts with `content` become new dicts with a score."""
    documents = [{"content": text, "id": i} for i, text in enumerate(DOCUMENTS)]
    results = CrossEncoderReranker("crossrank-mini").rerank(QUERY, documents, top_k=10)
    assert [list(result) for result in results] == [["content", "id", "score"]] * 4
    assert results[0]["id"] == 1


def test_tutorial_async_search() -> None:
    """50 candidates, cut to 400 characters, reranked to 10."""
    corpus = [{"content": f"{DOCUMENTS[i % 4]} {i} " + "filler " * 100} for i in range(80)]
    reranker = CrossEncoderReranker()

    async def search(query: str) -> list[dict]:
        candidates = corpus[:50]
        cut = [{**document, "content": document["content"][:400]} for document in candidates]
        return await asyncio.to_thread(reranker.rerank, query, cut, 10)

    results = asyncio.run(search(QUERY))
    assert len(results) == 10
    assert results[0]["content"].startswith(DOCUMENTS[1])
