"""The object people hold: its calls, its life, and its use from threads and other processes."""

import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from crossrank import CrossEncoder, CrossEncoderReranker, Ranker, Ranking, Reranker
from crossrank.engine.cache import MemoryCache
from crossrank.errors import ArgumentTypeError, ClosedError, ModelNotFoundError, UsageError
from forked import holds_in_a_child

DOCUMENTS = [
    "Mount Everest is the highest mountain above sea level.",
    "Python was created by Guido van Rossum and first released in 1991.",
    "Bread is baked from flour, water and yeast.",
    "The python is a large snake that kills by constriction.",
]
QUERY = "Who created the Python programming language?"


def rank_in_child(reranker: Reranker) -> list[float | None]:
    return reranker.rank(QUERY, DOCUMENTS).scores


def test_the_bundled_model_ranks_sensibly(bundled: Reranker) -> None:
    """The document that answers comes first, with a score between 0 and 1, and says which model gave it."""
    ranking = bundled.rank(QUERY, DOCUMENTS)
    assert ranking[0].index == 1
    assert all(0 <= score <= 1 for score in ranking.scores)
    assert {hit.scored_by for hit in ranking} == {"crossrank-mini"}
    assert isinstance(bundled, Ranker)
    assert ranking.usage["documents"] == ranking.usage["pairs"] == 4
    assert ranking.usage["tokens"] > 40
    assert ranking.timings["total"] >= ranking.timings["run"] > 0


def test_top_k_and_threshold(bundled: Reranker) -> None:
    """top_k cuts after ranking, more than there are is all; threshold keeps hits with at least that score."""
    everything = bundled.rank(QUERY, DOCUMENTS)
    assert bundled.rank(QUERY, DOCUMENTS, top_k=2).indices == everything.indices[:2]
    assert bundled.rank(QUERY, DOCUMENTS, top_k=np.int64(9)).indices == everything.indices
    limit = everything[1].score
    assert bundled.rank(QUERY, DOCUMENTS, threshold=limit).indices == everything.indices[:2]
    assert len(bundled.rank(QUERY, DOCUMENTS, threshold=1.0)) == 0


def test_a_ranking_is_a_sequence(bundled: Reranker) -> None:
    """Indexing, slicing, iteration, containment and length are those of a tuple of hits."""
    ranking = bundled.rank(QUERY, DOCUMENTS)
    assert isinstance(ranking, Ranking)
    assert list(ranking) == [ranking[i] for i in range(4)]
    assert ranking[-1].rank == 4
    assert [hit.rank for hit in ranking[1:3]] == [2, 3]
    assert ranking[0] in ranking


def test_notebook_table_escapes_markup(bundled: Reranker) -> None:
    """The HTML table shows texts as text."""
    html = bundled.rank("<b>query", ["<script>alert(1)</script>" + "x" * 500])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html
    assert "…" in html


def test_a_huge_document_is_read_in_part(checkpoint: Callable[..., Path]) -> None:
    """Only as much is tokenised as can be read; the windows are those of the whole text, and the hit is marked."""
    text = "The quick brown fox. " * 2_000
    with Reranker(str(checkpoint("bert")), windows_max=3, cache=None) as reranker:
        (huge,), (large,) = reranker.rank("fox", [text * 50]), reranker.rank("fox", [text])
        assert huge.truncated is large.truncated is True
        assert (huge.logit, huge.passage) == (large.logit, large.passage)
        assert large.tokens < huge.tokens < 100_000
        assert huge.tokens == len(reranker.prepare([text * 50]).tokens[text * 50].ids)
    with Reranker(str(checkpoint("bert")), long_documents="truncate", cache=None) as reranker:
        assert reranker.rank("fox", [text * 50])[0].logit == reranker.rank("fox", [text])[0].logit
        assert reranker.rank("fox", ["x" * 10**6])[0].truncated is not None  # one word, one token
    with (
        Reranker(str(checkpoint("bert")), long_documents="error") as reranker,
        pytest.raises(ValueError, match=r"more than \d+ tokens.*room"),
    ):
        reranker.rank("fox", [text * 50])


def test_score_keeps_the_callers_order(bundled: Reranker) -> None:
    """float32 scores by position, sigmoid of the raw logits."""
    pairs = [(QUERY, text) for text in DOCUMENTS]
    scores, logits = bundled.score(pairs), bundled.score(pairs, raw=True)
    assert scores.dtype == logits.dtype == np.float32
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits.astype(np.float64))), rtol=1e-6)
    ranking = bundled.rank(QUERY, DOCUMENTS)
    assert [hit.score for hit in ranking] == [float(scores[i]) for i in ranking.indices]


def test_extreme_logits_do_not_warn(bundled: Reranker) -> None:
    """The sigmoid of any finite logit is a number between 0 and 1."""
    logits = np.array([-3e38, -1000, -90, 0, 90, 3e38], np.float32)
    scores = bundled._engine.scorer.activate(logits)
    assert scores[0] == 0
    assert scores[3] == 0.5
    assert scores[-1] == 1
    assert np.all(np.diff(scores) >= 0)


def test_rank_many_equals_rank(bundled: Reranker) -> None:
    """A ranking a query, in order, the same hits as one by one; streams are read as they are needed."""
    queries = [QUERY, "highest mountain", "how to bake"] * 3
    lists = [DOCUMENTS, DOCUMENTS[:2], []] * 3
    together = list(bundled.rank_many(queries, lists, top_k=3))
    assert [r.query for r in together] == queries
    for ranking, query, documents in zip(together, queries, lists, strict=True):
        alone = bundled.rank(query, documents, top_k=3)
        assert (ranking.indices, ranking.scores) == (alone.indices, alone.scores)


def test_rank_many_streams(checkpoint: Callable[..., Path]) -> None:
    """An endless stream of queries gives its first rankings: what is read ahead is bounded."""
    read = 0

    def queries() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "the quick brown fox"

    def candidates() -> Iterator[list[str]]:
        while True:
            yield ["x" * 5_000, "lazy dog"]

    with Reranker(str(checkpoint("bert"))) as reranker:
        stream = reranker.rank_many(queries(), candidates())
        assert [len(next(stream)) for _ in range(3)] == [2, 2, 2]
        stream.close()
    assert read < 200


def test_rank_many_checks_its_input(bundled: Reranker) -> None:
    """Different lengths, a single string and wrong options are told, the latter before anything is scored."""
    with pytest.raises(UsageError, match="differ in length"):
        list(bundled.rank_many(["a", "b"], [["x"]]))
    for queries, lists in (("a", [["x"]]), (None, [["x"]]), (["a"], None), (["a"], 5)):
        with pytest.raises(ArgumentTypeError, match="must be a list of"):
            bundled.rank_many(queries, lists)
    good_first = bundled.rank_many(["a", " "], [["x"], ["y"]])
    assert next(good_first).query == "a"
    with pytest.raises(UsageError, match="top_k=0"):
        bundled.rank_many(["a"], [["x"]], top_k=0)
    with pytest.raises(UsageError, match=r"queries\[1\] is empty"):
        list(bundled.rank_many(["a", " "], [["x"], ["y"]]))


def test_prepared_documents_rank_alike(bundled: Reranker, checkpoint: Callable[..., Path]) -> None:
    """Prepared documents give the same ranking, keep identity, and work with another model too."""
    documents = [{"title": "Everest", "height": 8849}, *DOCUMENTS, "long " * 900]
    prepared = bundled.prepare(documents)
    assert len(prepared) == len(documents)
    assert prepared[0] is documents[0]
    assert prepared[1:3] == documents[1:3]
    expected, ranking = bundled.rank(QUERY, documents), bundled.rank(QUERY, prepared)
    assert (ranking.indices, ranking.scores) == (expected.indices, expected.scores)
    with Reranker(str(checkpoint("roberta")), cache=None) as other:
        assert other.rank(QUERY, prepared).scores == other.rank(QUERY, documents).scores
    with pytest.raises(UsageError, match=r"prepare\(\)"):
        bundled.rank(QUERY, prepared, fields=["title"])
    assert bundled.prepare([{"title": "a", "text": "b"}], fields=["title"]).items[0].text == "title: a"


def test_prepared_documents_are_not_tokenised_again(bundled: Reranker) -> None:
    """The prepared tokens are what the model reads: exchanging those of two documents exchanges their logits."""
    prepared = bundled.prepare(DOCUMENTS[:2])
    one, other = DOCUMENTS[:2]
    prepared.tokens[one], prepared.tokens[other] = prepared.tokens[other], prepared.tokens[one]
    expected = bundled.score([(QUERY, other), (QUERY, one)], raw=True)
    logits = {hit.index: hit.logit for hit in bundled.rank(QUERY, prepared)}
    assert [logits[0], logits[1]] == expected.tolist()


def test_closing(checkpoint: Callable[..., Path]) -> None:
    """A closed reranker says so; closing twice is fine."""
    with Reranker(str(checkpoint("bert"))) as reranker:
        prepared = reranker.prepare(["a"])
    reranker.close()
    for call in (
        lambda: reranker.rank("q", ["a"]),
        lambda: reranker.rank("q", prepared),
        lambda: reranker.score([("q", "a")]),
        lambda: reranker.prepare(["a"]),
        lambda: reranker.rank_many(["q"], [["a"]]),
    ):
        with pytest.raises(ClosedError, match="open a new one"):
            call()
    assert "closed" in repr(reranker)


def test_a_call_in_progress_outlives_close(checkpoint: Callable[..., Path]) -> None:
    """Whoever is using the model holds it: closing from elsewhere fails later calls only."""
    reranker = Reranker(str(checkpoint("bert")), cache=None)
    stream = reranker.rank_many(["fox", "dog"], [DOCUMENTS, ["x" * 300_000, *DOCUMENTS]])
    first = next(stream)
    reranker.close()
    assert len(first) == 4
    assert len(next(stream)) == 5
    with pytest.raises(ClosedError):
        reranker.rank("q", ["a"])
    with pytest.raises(ClosedError):
        pickle.dumps(reranker)


def test_a_daemon_thread_may_be_ranking_when_the_process_ends(checkpoint: Callable[..., Path]) -> None:
    """The process ends with its own exit code and nothing on stderr."""
    code = f"""
import threading
from crossrank import Reranker
reranker, ready = Reranker({str(checkpoint("bert"))!r}, cache=None), threading.Event()
def keep_busy():
    while True:
        reranker.rank("fox", ["the quick brown fox"])
        ready.set()
for _ in range(8):
    threading.Thread(target=keep_busy, daemon=True).start()
assert ready.wait(60)
"""
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=90)
        assert (done.returncode, done.stderr) == (0, "")


def test_ranking_while_the_interpreter_ends_does_not_hang(checkpoint: Callable[..., Path]) -> None:
    """An object that ranks in its __del__ at the very end gets an answer or an exception, and the process ends."""
    code = f"""
import os
from crossrank import Reranker
class Last:
    reranker = Reranker({str(checkpoint("bert"))!r}, cache=None)
    def __del__(self, write=os.write):  # bound now: by then sys.stdout and the module's names may be gone
        write(1, b"asked")
        self.reranker.rank("fox", ["a", "b"])
last = Last()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "asked"), done.stderr


def test_repr_names_model_and_path(bundled: Reranker) -> None:
    """The repr says what runs where."""
    assert repr(bundled).startswith("Reranker('crossrank-mini', native/")


def test_pickling_and_other_processes(checkpoint: Callable[..., Path]) -> None:
    """A pickled copy, a spawned and a forked process give the same scores."""
    reranker = Reranker(str(checkpoint("bert")), long_documents="truncate", threads=2)
    expected = rank_in_child(reranker)
    copy = pickle.loads(pickle.dumps(reranker))
    assert pickle.loads(pickle.dumps(Reranker(str(checkpoint("bert")), cache=MemoryCache()))).rank("fox", ["a"])
    drop_in = CrossEncoder(str(checkpoint("bert")), max_length=32)
    assert pickle.loads(pickle.dumps(drop_in)).max_length == 32
    assert rank_in_child(copy) == expected
    assert copy._config == reranker._config
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply_async(rank_in_child, (reranker,)).get(timeout=60) == expected


@pytest.mark.parametrize("parallelism", [None, "true", "false"])
def test_a_forked_child_goes_on_with_the_open_model(
    parallelism: str | None, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fork, even while another thread is scoring, the child ranks with the parent's open model.

    Whatever the tokenizers are told about threads: theirs do not exist in the child.
    """
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if parallelism is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", parallelism)
    reranker = Reranker(str(checkpoint("bert")), threads=2, cache="memory")
    known = rank_in_child(reranker)  # from the cache, whose lock another thread may hold at the fork
    with Reranker(str(checkpoint("bert")), threads=2, cache=None) as other:
        fresh = other.rank("never asked before", DOCUMENTS).scores
    stop = threading.Event()

    def keep_busy() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            reranker.rank(f"query {i}", DOCUMENTS)

    busy = threading.Thread(target=keep_busy)
    busy.start()

    def same() -> bool:
        return rank_in_child(reranker) == known and reranker.rank("never asked before", DOCUMENTS).scores == fresh

    try:
        for _ in range(10):
            assert holds_in_a_child(same)
    finally:
        stop.set()
        busy.join()


def test_threads_share_one_reranker(checkpoint: Callable[..., Path]) -> None:
    """Sixteen threads at once get the scores that each would get alone."""
    reranker = Reranker(str(checkpoint("xlm-roberta")), threads=2)
    expected = {i: reranker.rank(f"query {i}", DOCUMENTS).scores for i in range(16)}
    fresh, got = Reranker(str(checkpoint("xlm-roberta")), threads=2), {}
    threads = [
        threading.Thread(target=lambda i=i: got.update({i: fresh.rank(f"query {i}", DOCUMENTS).scores}))
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_a_score_cache_of_the_callers_own(checkpoint: Callable[..., Path]) -> None:
    """A shared cache is used by both rerankers of the same model, and kept apart for another model or another cut."""
    cache = MemoryCache()
    folder = str(checkpoint("bert"))
    options = {"cache": cache}
    with Reranker(folder, **options) as one, Reranker(folder, **options) as two:
        one.rank(QUERY, DOCUMENTS)
        assert two.rank(QUERY, DOCUMENTS).usage["cached"] == 4
    for other in ({"model": str(checkpoint("bert", seed=1))}, {"model": folder, "long_documents": "truncate"}):
        with Reranker(**other, **options) as reranker:
            assert reranker.rank(QUERY, DOCUMENTS).usage["cached"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device='gpu' is not known.*auto, cpu"),
        ({"backend": "tensorflow"}, "backend=.*auto, native"),
        ({"precision": "int4"}, "precision=.*auto, fp32"),
        ({"threads": 0}, "threads=0 is too small; allowed: 1 to 1024"),
        ({"threads": 2**31}, "threads=2147483648 is too large"),
        ({"long_documents": "longest_first"}, "long_documents='longest_first'"),
        ({"max_length": 10_000}, "max_length=10000 is above what .* can read: 256"),
        ({"max_length": 3}, "max_length=3 is too small"),
        ({"windows_max": 0}, "windows_max=0"),
        ({"long_documents": "cut"}, "long_documents='cut'"),
        ({"cache": "disk"}, "cache='disk'"),
        ({"revision": "main"}, "revision='main' is for models of the hub"),
        ({"model": ""}, "model must be a name or a folder"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    """An option that cannot be taken says what was given and what is allowed."""
    with pytest.raises(UsageError, match=message):
        Reranker(**options)


def test_types_of_options_are_checked() -> None:
    """A count that is no whole number is a TypeError; an unknown option fails at the call."""
    with pytest.raises(ArgumentTypeError, match="threads must be a whole number"):
        Reranker(threads=1.5)
    for model in (123, ["a"], b"name"):
        with pytest.raises(ArgumentTypeError, match="model must be a name or a folder"):
            Reranker(model)
    assert Reranker(threads=np.int64(1), max_length=np.int32(64)).rank("q", ["a"], threshold=np.float32(0.0))
    with pytest.raises(TypeError, match="batch_size"):
        Reranker(batch_size=32)
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        Reranker("./no/such/folder")


def test_an_instruction_for_a_model_that_takes_none_is_an_error() -> None:
    """It would silently change nothing."""
    with pytest.raises(OSError, match="takes no instruction"):
        Reranker(instruction="Find the answer")
    with Reranker() as reranker, pytest.raises(OSError, match="takes no instruction"):
        reranker.rank("q", ["a"], instruction="Find the answer")


def test_reranker_of_dicts() -> None:
    """Dicts come back as new dicts with a score, best first, at most top_k."""
    documents = [{"content": text, "id": i} for i, text in enumerate(DOCUMENTS)]
    results = CrossEncoderReranker().rerank(QUERY, documents, top_k=2)
    assert results[0]["id"] == 1
    assert len(results) == 2
    assert set(results[0]) == {"content", "id", "score"}
    assert "score" not in documents[1]
    with pytest.raises(TypeError, match=r"documents\[0\] is str; give dicts"):
        CrossEncoderReranker().rerank(QUERY, DOCUMENTS)
    with pytest.raises(ValueError, match=r"documents\[1\] has no text in 'content'; its fields are: 'text'"):
        CrossEncoderReranker().rerank(QUERY, [{"content": "a"}, {"text": "b"}])
    both = [{"text": "Bread.", "content": DOCUMENTS[1]}, {"text": DOCUMENTS[1], "content": "Bread."}]
    assert CrossEncoderReranker().rerank(QUERY, both)[0] is not both[0]
    assert CrossEncoderReranker().rerank(QUERY, both)[0]["content"] == DOCUMENTS[1]
