"""Everything before the first step: sources read, the plan made, teachers opened, examples made.

It knows the data side of a run, and opens what that needs.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from crossrank.errors import UsageError
from crossrank.train.base import model_fingerprint, model_folder
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device
from crossrank.train.embed import Embedder
from crossrank.train.events import Emit, Preparing, Warned
from crossrank.train.examples import Examples, make_examples
from crossrank.train.options import PartConfig
from crossrank.train.plan import Plan, make_plan
from crossrank.train.sources import Source, check_classes, read_source, same_query
from crossrank.train.store import Store
from crossrank.train.teachers import CosinePart, Part, RankerPart
from crossrank.types import Ranker

Rankers = Mapping[str, Ranker]
SHARED_MOST = 0.01  # of an evaluation set's queries may be in a source by chance


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Sources and what will be drawn from them."""

    sources: tuple[Source, ...]
    plan: Plan

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        """By source: queries, documents, examples."""
        return {
            source.config.title: (len(source.judged), source.corpus_size, len(self.plan.of(number)))
            for number, source in enumerate(self.sources)
        }


def read_material(config: TrainConfig, emit: Emit, measured: Mapping[str, Collection[str]] | None = None) -> Material:
    """All sources, and the plan over them.

    Args:
        config: the run.
        emit: hears of progress, and of queries that are in a source and in an evaluation set.
        measured: by evaluation set, its queries.

    Raises:
        UsageError: more than `SHARED_MOST` of an evaluation set's queries are in the sources.
    """
    sources = []
    for number, one in enumerate(config.sources):
        emit(Preparing(one.title, "reading", number, len(config.sources)))
        source = read_source(one, config.below_data(one.path), config.run.seed)
        check_classes(source, others=config.negatives.hard + config.negatives.random)
        sources.append(source)
    for title, queries in (measured or {}).items():
        _check_apart(title, queries, sources, emit)
    examples = config.train.steps * config.train.queries_per_step
    return Material(
        tuple(sources), make_plan(config.sources, [len(source.judged) for source in sources], examples, config.run.seed)
    )


def _check_apart(title: str, queries: Collection[str], sources: Sequence[Source], emit: Emit) -> None:
    wanted = {same_query(query) for query in queries}
    by_source = {source.config.title: len(wanted & source.asked) for source in sources}
    shared = sum(any(query in source.asked for source in sources) for query in wanted)
    if not shared:
        return
    where = ", ".join(f"{count} in {name}" for name, count in by_source.items() if count)
    said = f"{shared:,} of the {len(wanted):,} queries of the evaluation set {title!r} are trained on ({where})"
    if shared > SHARED_MOST * len(wanted):
        raise UsageError(f"{said}; a set that is trained on cannot measure. Take them out of one or the other.")
    emit(Warned(f"{said}; its measure is a little too good."))


def prepare(config: TrainConfig, material: Material, device: Device, rankers: Rankers, emit: Emit) -> Examples:
    """The examples that the plan asks for."""
    store = Store(config.cache)
    asked = {part: part.model for teacher in config.teachers for part in teacher.parts if part.model is not None}
    parts: dict[PartConfig, Part] = {}
    keys: dict[PartConfig, str] = {}
    for part, model in asked.items():
        if part.kind == "bi-encoder":
            folder = model_folder(model)
            keys[part] = f"{model_fingerprint(folder)} {device.bf16}"
            embedder = Embedder(folder, store, device=device.name, bf16=device.bf16, max_length=part.max_length)
            parts[part] = CosinePart(embedder)
        else:
            ranker, keys[part] = _ranker(model, rankers)
            parts[part] = RankerPart(ranker)
    mines = config.negatives.ranker
    miner, miner_key = (None, None) if mines is None else _ranker(mines, rankers)
    # What an object does cannot be told from its name: its results are good for this call only.
    given = any(model in rankers for part, model in asked.items() if part.kind == "ranker") or mines in rankers
    kept = None if given else store
    return make_examples(config, material.sources, material.plan, kept, parts, keys, miner, miner_key, emit)


def first_examples(config: TrainConfig, material: Material, device: Device, rankers: Rankers, emit: Emit) -> Examples:
    """The first step's examples alone, kept nowhere that matters: for a look before a long run."""
    count = config.train.queries_per_step
    plan = Plan(material.plan.source[:count], material.plan.query[:count], material.plan.turn[:count])
    return prepare(config, dataclasses.replace(material, plan=plan), device, rankers, emit)


def _ranker(model: str, rankers: Rankers) -> tuple[Ranker, str]:
    """A ranker that the caller handed over under that name, or crossrank's own engine on a checkpoint."""
    if model in rankers:
        return rankers[model], f"given: {model}"
    from crossrank.reranker import Reranker

    folder = model_folder(model)
    return Reranker(str(folder), cache=None, precision="fp32"), model_fingerprint(folder)
