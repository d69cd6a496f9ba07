"""Which model is recommended: published figures as they stand, latency as it was measured, nothing invented."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank.checkpoint.catalogue import CATALOGUE, MINI
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.published import BOARDS, boards_for
from crossrank.checkpoint.shapes import SHAPES, Shape
from crossrank.choice.cost import Load, Machine, api_month_usd, break_even
from crossrank.choice.kept import Kept
from crossrank.choice.needs import Needs
from crossrank.choice.offers import APIS, Offer, offers
from crossrank.choice.recommend import FAR, Recommendation, recommend
from crossrank.choice.timing import Timing, Timings, Untimed
from crossrank.engine.options import OpenConfig
from crossrank.engine.scorer import Scorer
from crossrank.engine.trial import open_trial
from crossrank.errors import MissingExtra, UsageError
from crossrank.remote.costs import Price

SMALL = Shape("bert", 1, 24, 2, 48)
# Rows of each family's embeddings, to count parameters; of language models, a last layer is not tied to them.
VOCABULARIES = {
    "bert": 30_522,
    "electra": 30_522,
    "roberta": 50_265,
    "xlm-roberta": 250_002,
    "xlm-roberta-flash": 250_002,
    "modernbert": 50_368,
    "deberta-v2": 128_100,
    "jina-bert": 61_056,
    "qwen2": 151_936,
    "qwen3": 151_669,
    "gemma": 256_000,
    "minicpm-layerwise": 122_753,
}
UNTIED = ("Qwen/Qwen3-Reranker-8B",)


class ByOperations(Timings):
    """As if each shape took a nanosecond for so many operations; counts what it was asked."""

    def __init__(self, per_s: float = 1e11, missing: Callable[[Shape], bool] = lambda _: False) -> None:
        super().__init__(OpenConfig(device="cpu"), Kept(None))
        self.per_s, self.missing, self.asked = per_s, missing, list[Shape]()

    def of(self, shape: Shape, documents: int, tokens: int, max_length: int) -> Timing | Untimed:
        self.asked.append(shape)
        if self.missing(shape):
            return Untimed("not here")
        seconds = documents * shape.operations(tokens) / self.per_s
        return Timing(seconds, 1.0, documents, tokens, 5, "an engine", "2026-11-21")


def names(found: Recommendation) -> list[str]:
    return [choice.offer.name for section in found.sections for choice in section.choices]


@pytest.mark.parametrize("model", [model for model in CATALOGUE if model.name in SHAPES], ids=lambda model: model.name)
def test_shapes_have_as_many_parameters_as_the_cards_say(model) -> None:
    """The layers' weights and the embeddings are all but a few per cent of a model."""
    shape = SHAPES[model.name]
    rows = VOCABULARIES[model.family] * (2 if model.name in UNTIED else 1)
    counted = (shape.weights + rows * shape.hidden) / 1e6
    assert counted == pytest.approx(model.parameters_m, rel=0.05)


def test_every_model_that_crossrank_has_a_net_for_has_a_shape() -> None:
    """And figures are of models that there are."""
    known = {model.name for model in (MINI, *CATALOGUE)}
    assert {model.name for model in CATALOGUE if not FAMILIES[model.family].foreign} == set(SHAPES) - {MINI.name}
    for board in BOARDS:
        assert set(board.figures) <= known | {api.name for api in APIS}, board.name
        assert board.source
        assert board.date


def test_the_bundled_models_quality_is_that_of_the_readme() -> None:
    """A board of its own says what crossrank measured, in the figures of README's table; on no other is it compared."""
    (board,) = (board for board in BOARDS if MINI.name in board.figures)
    assert set(board.figures) == {MINI.name}
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("| TREC DL 2019"))
    bm25, bi_encoder, mini = (cell.strip(" *") for cell in row.split("|")[3:6])
    assert f"{board.figures[MINI.name]:.3f}" == mini
    assert f"BM25 alone has {bm25}, a bi-encoder of the same size {bi_encoder}" in board.what


def test_better_published_quality_comes_first_within_a_board() -> None:
    """One section a board; a model stands in one of them; what has no figure comes last."""
    found = recommend(Needs(), ByOperations())
    for section in found.sections:
        values = [choice.quality[0].value for choice in section.choices if section.board is not None]
        assert values == sorted(values, reverse=True)
    assert [section.board for section in found.sections][:1] == [boards_for("en")[0]]
    assert found.sections[-1].board is None
    assert len(names(found)) == len(set(names(found)))
    assert names(found)[0] == "Qwen/Qwen3-Reranker-4B"


def test_a_limit_keeps_what_is_within_it() -> None:
    """Of those that are timed; what nobody knows the latency of is named apart."""
    found = recommend(Needs(latency_ms=50.0), ByOperations(per_s=1e12))
    assert found.sections
    for section in found.sections:
        for choice in section.choices:
            assert choice.latency.ms is not None
            assert choice.latency.ms <= 50
            assert choice.documents_max is not None
            assert choice.documents_max >= 100
    assert {choice.offer.name for choice in found.undecided} >= {
        "cohere:rerank-v4.0-pro",
        "castorini/monot5-base-msmarco",
    }
    assert found.nearest == ()
    assert found.better
    assert all(choice.obstacles and 10 <= (choice.documents_max or 0) < 100 for choice in found.better)


def test_what_is_far_beyond_the_limit_is_estimated_and_says_so() -> None:
    """From the next smaller shape that was timed: no time is spent on it."""
    timings = ByOperations(per_s=1e11)
    found = recommend(Needs(latency_ms=50.0, language="zh", local=True), timings)
    smallest = min(timings.asked, key=lambda shape: shape.weights)
    assert SHAPES["BAAI/bge-reranker-large"] not in timings.asked
    late = next(choice for choice in found.nearest if choice.offer.name == "BAAI/bge-reranker-base")
    assert late.latency.how == "estimated"
    assert str(smallest) in late.latency.note
    assert late.latency.ms is not None
    assert late.latency.ms > FAR * 50


def test_nothing_fits_and_what_would() -> None:
    """The nearest are named, what fits with int8, and how many documents would fit."""
    found = recommend(
        Needs(latency_ms=50.0, language="de", local=True), ByOperations(per_s=5e12), int8=ByOperations(per_s=2e13)
    )
    assert found.best is None
    assert found.nearest[0].offer.name == "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"
    assert found.nearest[0].obstacles == ("takes 115 ms",)
    assert found.nearest[0].documents_max == 43
    assert [choice.offer.name for choice in found.faster] == ["cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"]
    assert dict(found.excluded)["is for en"] > 20


def test_conditions_leave_models_out() -> None:
    """Language, licence, privacy, length, structured data."""
    for needs, wanted in (
        (Needs(language="de"), lambda offer: offer.covers("de")),
        (Needs(commercial=True), lambda offer: offer.commercial),
        (Needs(local=True), lambda offer: offer.local),
        (Needs(max_length=4096), lambda offer: offer.max_length >= 4096),
        (Needs(structured=True), lambda offer: offer.structured),
    ):
        found = set(names(recommend(needs, ByOperations())))
        assert found == {offer.name for offer in offers() if wanted(offer)}
    assert "jinaai/jina-reranker-v2-base-multilingual" not in names(recommend(Needs(commercial=True), ByOperations()))


def test_a_published_lower_bound_decides_nothing_above_it() -> None:
    """An API that is known to take 150 ms or longer is too slow for 100, and perhaps for 200."""
    api = next(offer for offer in APIS if offer.name == "voyage:rerank-2.5")
    assert recommend(Needs(latency_ms=100.0), ByOperations(), among=[api]).nearest[0].offer is api
    assert recommend(Needs(latency_ms=200.0), ByOperations(), among=[api]).undecided[0].offer is api


def test_an_engine_that_is_missing_leaves_the_latency_unknown() -> None:
    """With the reason."""
    found = recommend(Needs(), ByOperations(missing=lambda shape: not shape.native))
    one = next(c for s in found.sections for c in s.choices if c.offer.name == "Qwen/Qwen3-Reranker-0.6B")
    assert (one.latency.ms, one.latency.how, one.latency.note) == (None, "unknown", "not here")


@pytest.mark.parametrize("needs", [{"language": "german"}, {"language": "DE"}, {"documents": 0}, {"latency_ms": -1.0}])
def test_what_cannot_be_meant_is_refused(needs: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Needs(**needs)


def test_a_shape_is_timed_on_the_real_engine_once(tmp_path: Path) -> None:
    """The second caller, in another process too, looks it up; `again` measures anew."""
    opened = []

    def opener(shape: Shape, config: OpenConfig, *, max_length: int) -> Scorer:
        opened.append(shape)
        return open_trial(shape, config, max_length=max_length)

    config, file = OpenConfig(device="cpu", precision="fp32", threads=1), tmp_path / "kept.json"
    timing = Timings(config, Kept(file), opener=opener).of(SMALL, 6, 16, 512)
    assert isinstance(timing, Timing)
    assert (timing.documents, timing.tokens) == (6, 16)
    assert timing.seconds > 0
    assert timing.engine.endswith("fp32, 1 threads")
    assert Timings(config, Kept(file), opener=opener).of(SMALL, 6, 16, 512) == timing
    assert len(opened) == 1
    Timings(config, Kept(file), opener=opener, again=True).of(SMALL, 6, 16, 512)
    Timings(replace(config, threads=2), Kept(file), opener=opener).of(SMALL, 6, 16, 512)
    assert len(opened) == 3


def test_a_slow_shape_is_timed_with_fewer_documents(tmp_path: Path) -> None:
    """By a clock that says each call took ten seconds."""
    ticks = iter(range(0, 10_000, 10))
    timings = Timings(
        OpenConfig(device="cpu", precision="fp32"), Kept(None), clock=lambda: float(next(ticks)), opener=open_trial
    )
    timing = timings.of(SMALL, 50, 16, 512)
    assert isinstance(timing, Timing)
    assert (timing.documents, timing.runs) == (4, 1)


def test_a_busy_machine_is_noticed() -> None:
    """By the share of its cores' time that a run had, here a tenth; then CPU time says more than the clock."""
    ticks, worked = iter(range(1_000)), iter(tick / 10 for tick in range(1_000))
    config = OpenConfig(device="cpu", precision="fp32", threads=1)
    timings = Timings(config, Kept(None), clock=lambda: next(ticks) / 100, cpu=lambda: next(worked) / 100)
    timing = timings.of(SMALL, 6, 16, 512)
    assert isinstance(timing, Timing)
    assert timing.share == pytest.approx(0.1, rel=0.6)
    offer = replace(next(offer for offer in offers() if offer.local), shape=SMALL)
    found = recommend(Needs(documents=6, tokens=16), timings, among=[offer]).sections[0].choices[0].latency
    assert found.how == "estimated"
    assert found.ms == pytest.approx(1000 * timing.seconds * timing.share)
    assert "by CPU time" in found.note


def test_files_that_cannot_be_read_or_written_are_no_failure(tmp_path: Path) -> None:
    """What was measured is measured again."""
    file = tmp_path / "kept.json"
    file.write_text("{broken")
    timing = Timing(1.0, 1.0, 2, 3, 4, "e", "d")
    kept = Kept(file)
    assert kept.get("a") is None
    kept.put("a", timing)
    assert Kept(file).get("a") == {
        "seconds": 1.0, "share": 1.0, "documents": 2, "tokens": 3, "runs": 4, "engine": "e", "date": "d",
    }  # fmt: skip
    Kept(tmp_path / "kept.json" / "below a file").put("a", timing)


def test_a_missing_extra_is_no_failure() -> None:
    """It is the reason why there is no timing."""

    def opener(*_: object, **__: object) -> Scorer:
        raise MissingExtra("torch is not installed")

    timing = Timings(OpenConfig(device="cpu"), Kept(None), opener=opener).of(SMALL, 4, 16, 512)
    assert timing == Untimed("torch is not installed")


@pytest.mark.property
@given(st.floats(1, 1e7), st.floats(1, 10), st.floats(0.001, 10), st.integers(1, 4))
def test_machines_cost_in_steps_and_apis_by_the_query(volume: float, factor: float, query_s: float, least: int) -> None:
    """More queries never cost less; at the break-even both cost the same; an API's cost is proportional."""
    load, machine, price = Load(), Machine(60.0, query_s, least=least), Price(search_units_1k=2.0)
    assert machine.month_usd(volume * factor, load) >= machine.month_usd(volume, load) >= 60.0 * least
    assert api_month_usd(price, volume * factor, load) == pytest.approx(factor * api_month_usd(price, volume, load))
    even = break_even(price, machine, load)
    assert api_month_usd(price, even, load) == pytest.approx(60.0 * least)


def test_offers_are_marked_as_their_catalogue_says() -> None:
    """Non-commercial licences, and those on demand."""
    by_name: dict[str, Offer] = {offer.name: offer for offer in offers()}
    jina = by_name["jinaai/jina-reranker-v2-base-multilingual"]
    assert (jina.commercial, jina.on_demand, jina.local) == (False, True, True)
    assert by_name["castorini/monot5-base-msmarco"].commercial is None
    assert by_name["cohere:rerank-v4.0-pro"].price == Price(search_units_1k=2.50)
