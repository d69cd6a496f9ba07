"""Examples: relevant documents first, no false negative that the teacher sees, the same again from the cache."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crossrank.errors import CrossrankError, MissingExtra, ModelNotFoundError, UsageError
from crossrank.train.base import model_folder
from crossrank.train.device import Device
from crossrank.train.events import Preparing, Warned, ignore
from crossrank.train.formats import Judged
from crossrank.train.lexical import Lexical
from crossrank.train.negatives import Lists, choose, false_negatives, kept_columns, reordered
from crossrank.train.options import NegativesConfig, PartConfig, SourceConfig, TeacherConfig
from crossrank.train.prepare import prepare, read_material
from crossrank.train.sources import Source
from crossrank.train.store import Store, resumable
from crossrank.train.teachers import RankerPart, normalised, teach
from crossrank.types import Hit, Ranking
from crossrank.writing import whole_folder
from training import CONFIG, TOPICS, config_of, write_set

DEVICE = Device("cpu", bf16=False, attention="eager", pairs_per_forward=4, threads=1, label="CPU")


class ByLength:
    """A ranker for which the longest document is the best, and its score the length."""

    def __init__(self) -> None:
        self.calls = 0

    def rank(self, query: str, documents: Sequence[str], *, top_k: int | None = None) -> Ranking:
        self.calls += 1
        order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))[:top_k]
        return Ranking(tuple(Hit(n, i, float(len(documents[i])), None, documents[i], "") for n, i in enumerate(order)))


def source_of(documents: list[str], judged: list[Judged]) -> Source:
    return Source(SourceConfig(path="s"), documents, len(documents), judged)


def test_lexical_scores_are_those_that_search_ranks_by() -> None:
    documents = [f"about the {topic} and {'more ' * i}" for i, topic in enumerate(TOPICS)] + ["fox fox and dog"]
    lexical = Lexical(documents, 6)
    best = lexical.best(["fox", "the dog about", "nothing here"], 3)
    assert best[0].tolist() == [0, -1, -1]  # the copy past the corpus is never found
    assert best[1, 0] == 1
    assert best[2].tolist() == [-1, -1, -1]
    scores = lexical.scores(["fox", "the dog about"], np.array([[0, 1, -1], [1, 0, 2]], np.int32))
    assert scores[0, 0] > scores[0, 1] == 0
    assert np.isnan(scores[0, 2])
    assert scores[1, 0] > scores[1, 1] > 0


def test_lists_hold_relevant_then_judged_then_mined_then_random_places() -> None:
    documents = [f"d{i}" for i in range(20)]
    judged = Judged("q", {3: 1.0, 4: 0.0}, hidden=(5,))
    candidates = np.array([[3, 5, 6, 7, 8, -1]], np.int32)
    config = NegativesConfig(positives=1, hard=3, random=2)
    lists = choose(source_of(documents, [judged]), [(0, 0)], candidates, config, seed=1)
    row = lists.places[0].tolist()
    assert row[:2] == [3, 4]
    assert set(row[2:4]) < {6, 7, 8}
    assert len(set(row)) == 6
    assert not {5} & set(row)
    assert lists.labels[0].tolist() == [1, 0, 0, 0, 0, 0]
    assert lists.mined[0].tolist() == [False, False, True, True, True, True]


def test_another_turn_draws_other_negatives_and_the_same_turn_the_same() -> None:
    source = source_of([f"d{i}" for i in range(200)], [Judged("q", {0: 1.0})])
    candidates = np.arange(1, 51, dtype=np.int32)[None].repeat(3, axis=0)
    lists = choose(source, [(0, 0), (0, 1), (0, 0)], candidates, NegativesConfig(), seed=1)
    assert lists.places[0].tolist() == lists.places[2].tolist() != lists.places[1].tolist()


def test_random_ones_may_come_from_what_is_relevant_to_others() -> None:
    source = source_of([f"d{i}" for i in range(900)], [Judged(f"q{i}", {3 * i: 1.0}) for i in range(300)])
    config = NegativesConfig(hard=0, random=3, random_from="relevant")
    lists = choose(source, [(i, 0) for i in range(300)], np.full((300, 1), -1, np.int32), config, seed=0)
    assert (lists.places % 3 == 0).all()
    assert len(np.unique(lists.places[:, 1:])) > 250


def test_a_copy_of_the_relevant_text_is_no_negative() -> None:
    source = source_of(["same", "same", "other"], [Judged("q", {0: 1.0})])
    lists = choose(source, [(0, 0)], np.array([[0, 1, 2]], np.int32), NegativesConfig(hard=2, random=3), seed=0)
    assert 1 not in lists.places[0]


@pytest.mark.parametrize(
    ("rule", "false"),
    [({"margin": 0.0}, [0, 1, 0, 0]), ({"margin": 0.3}, [0, 1, 1, 0]), ({"share": 0.5}, [0, 1, 1, 0])],
)
def test_false_negatives_are_what_the_teacher_puts_too_near(rule: dict[str, float], false: list[int]) -> None:
    lists = Lists(
        np.array([[0, 1, 2, 3]], np.int32),
        np.array([[1, 0, 0, 0]], np.float32),
        np.array([[False, True, True, False]]),  # the last one was judged: nobody's guess
        np.array([[0, 1, 1, 2]], np.int8),
    )
    teacher = np.array([[0.6, 0.9, 0.5, 0.99]], np.float32)
    found = false_negatives(lists, teacher, NegativesConfig(teacher="t", **rule))
    assert found.astype(int).tolist() == [false]
    columns = kept_columns(lists, found, NegativesConfig(hard=1, random=1))
    kept = [column for column in range(4) if not false[column]][:3]
    assert columns[0].tolist()[: len(kept)] == kept


def test_a_ranker_chooses_the_hard_ones() -> None:
    source = source_of(["a", "aaaa", "aa", "aaa"], [Judged("q", {0: 1.0})])
    best = reordered(ByLength(), source, ["q"], np.array([[0, 1, 2, 3]], np.int32), 2)
    assert best.tolist() == [[1, 3]]


def test_teachers_add_up_weighted_and_normalised() -> None:
    one = PartConfig(kind="ranker", model="r", weight=2.0)
    two = PartConfig(kind="ranker", model="r", weight=1.0, normalise="minmax")
    parts = {one: RankerPart(ByLength()), two: RankerPart(ByLength())}
    places = np.array([[0, 1, -1]], np.int32)
    scores = teach(TeacherConfig(name="t", parts=(one, two)), parts, ["q"], ["a", "aaa"], places, lambda *_: None)
    assert scores[0, :2].tolist() == [2 * 1 + 0, 2 * 3 + 1]
    assert np.isnan(scores[0, 2])
    z = normalised(np.array([[1.0, 3.0, np.nan]], np.float32), "zscore")
    assert z[0, :2].tolist() == [-1, 1]


def test_examples_are_made_once_and_then_read(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    material = read_material(config, ignore)
    heard: list[object] = []
    first = prepare(config, material, DEVICE, {}, heard.append)
    assert len(first) == 12
    example = first[0]
    assert example.targets[0][0] == 1
    assert len(example.documents) == 4
    assert [len(row) for row in example.targets] == [4, 4]
    stages = {event.stage for event in heard if isinstance(event, Preparing)}
    assert stages == {"BM25", "words"}
    heard.clear()
    again = prepare(config, material, DEVICE, {}, heard.append)
    assert heard == []
    assert np.array_equal(first.places, again.places)
    assert np.array_equal(first.targets, again.targets, equal_nan=True)


def test_another_seed_or_number_is_made_anew(tmp_path: Path) -> None:
    for text in (CONFIG, CONFIG.replace("hard = 2", "hard = 1"), CONFIG.replace("[run]", "[run]\nseed = 5")):
        config = config_of(tmp_path, text)
        prepare(config, read_material(config, ignore), DEVICE, {}, ignore)
    assert len(list((tmp_path / "out" / "prepared").glob("*.npz"))) == 3


def test_a_teacher_can_take_the_label_from_a_negative_or_replace_it(tmp_path: Path) -> None:
    rules = 'hard = 2\nteacher = "words"\nmargin = 0.0'
    dropped, unlabelled = (
        config_of(tmp_path, CONFIG.replace("hard = 2", rules + more)) for more in ("", '\nfalse = "unlabel"')
    )
    for config, keeps in ((dropped, False), (unlabelled, True)):
        examples = prepare(config, read_material(config, ignore), DEVICE, {}, ignore)
        labels, words = examples.targets[:, 0], examples.targets[:, 1]
        above = words > words[:, :1]
        assert keeps or not above[labels == 0].any()
        assert np.isnan(labels[above & (examples.places >= 0)]).all() or not keeps


def test_a_given_ranker_teaches_and_mines_by_its_name(tmp_path: Path) -> None:
    text = CONFIG.replace('kind = "bm25"', 'kind = "ranker", model = "mine"').replace(
        "hard = 2", 'hard = 2\nranker = "mine"'
    )
    config, ranker = config_of(tmp_path, text), ByLength()
    examples = prepare(config, read_material(config, ignore), DEVICE, {"mine": ranker}, ignore)
    assert ranker.calls > 0
    one = examples[0]
    assert one.targets[1] == [len(document) for document in one.documents]


def test_a_bi_encoders_cosines_are_kept_on_disk(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    text = CONFIG.replace('kind = "bm25"', f'kind = "bi-encoder", model = "{(tmp_path / "base").as_posix()}"')
    config = config_of(tmp_path, text)
    material = read_material(config, ignore)
    first = prepare(config, material, DEVICE, {}, ignore)
    assert (np.abs(first.targets[:, 1][first.places >= 0]) <= 1.01).all()
    vectors = list((tmp_path / "out" / "prepared" / "embeddings").rglob("*.npz"))
    assert len(vectors) == 1
    for file in (tmp_path / "out" / "prepared").glob("examples-*.npz"):
        file.unlink()
    again = prepare(config, material, DEVICE, {}, ignore)
    assert np.array_equal(first.targets, again.targets, equal_nan=True)
    assert list((tmp_path / "out" / "prepared" / "embeddings").rglob("*.npz")) == vectors


def test_weights_inside_a_package_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "packaged_model" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / "packaged_model" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"has no folder with config\.json"):
        model_folder("package:packaged_model")
    (inside / "config.json").touch()
    (inside / "model.safetensors").touch()
    assert model_folder("package:packaged_model") == inside
    with pytest.raises(MissingExtra, match="pip install not-there"):
        model_folder("package:not_there")


def test_what_is_written_is_whole_or_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.arrays("x", {"a": 1}, lambda: {"v": np.arange(3)})
    assert store.arrays("x", {"a": 1}, dict)["v"].tolist() == made["v"].tolist()

    def half_a_folder() -> None:
        with resumable(tmp_path / "g"), whole_folder(tmp_path / "g") as partial:
            (partial / "half").touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(CrossrankError, match=r"g could not be written \(No space left.*Free space"):
        half_a_folder()
    assert sorted(path.name[:2] for path in tmp_path.iterdir()) == ["x-"]


def test_a_set_in_beir_layout_goes_all_the_way(tmp_path: Path) -> None:
    write_set(tmp_path / "set", split="train")
    config = config_of(tmp_path, CONFIG.replace('path = "triples.jsonl"\nkind = "triples"', 'path = "set"'))
    examples = prepare(config, read_material(config, ignore), DEVICE, {}, ignore)
    assert {examples[place].query for place in range(12)} == {f"about {topic}" for topic in TOPICS}


def test_what_answers_the_same_query_under_another_id_is_no_negative() -> None:
    source = source_of(["a", "b", "c", "a"], [Judged("Q x", {0: 1.0, 3: 0.0}), Judged("q  x", {1: 1.0})])
    near = np.array([[1, 2, 3], [0, 2, 3]], np.int32)
    lists = choose(source, [(0, 0), (1, 0)], near, NegativesConfig(hard=2, random=2), seed=0)
    assert lists.places.tolist() == [[0, 2, -1, -1, -1], [1, 2, -1, -1, -1]]


def test_random_ones_are_originals_never_changed_copies() -> None:
    judged = [Judged(f"q{i}", {200 + i: 1.0}, hidden=(i,)) for i in range(200)]
    source = Source(SourceConfig(path="s"), [f"d{i}" for i in range(400)], 200, judged, range(200))
    config = NegativesConfig(hard=0, random=3, random_from="relevant")
    lists = choose(source, [(i, 0) for i in range(200)], np.full((200, 1), -1, np.int32), config, seed=0)
    assert lists.places[:, 1:].max() < 200


def test_dropping_false_negatives_keeps_the_random_ones_random() -> None:
    source = source_of([f"d{i}" for i in range(99)], [Judged("q", {0: 1.0})])
    config = NegativesConfig(hard=2, random=3, teacher="t", margin=0.0)
    lists = choose(source, [(0, 0)], np.arange(1, 9, dtype=np.int32)[None], config, seed=0)
    columns = kept_columns(lists, np.zeros(lists.places.shape, bool), config)
    assert lists.kinds[0, columns[0]].tolist() == [0, 1, 1, 2, 2, 2]


def test_what_a_given_ranker_mined_is_not_kept(tmp_path: Path) -> None:
    config = config_of(tmp_path, CONFIG.replace("hard = 2", 'hard = 2\nranker = "mine"'))
    prepare(config, read_material(config, ignore), DEVICE, {"mine": ByLength()}, ignore)
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_queries_that_are_trained_on_and_measured_are_refused_or_told_of(tmp_path: Path) -> None:
    config, heard = config_of(tmp_path), []
    with pytest.raises(UsageError, match=r"1 of the 2 queries .*'set' are trained on \(1 in triples\)"):
        read_material(config, ignore, {"set": ["What is  FOX 0", "other"]})
    read_material(config, heard.append, {"set": ["what is fox 0", *(f"other {i}" for i in range(99))]})
    assert [event.text[:30] for event in heard if isinstance(event, Warned)] == ["1 of the 100 queries of the ev"]
