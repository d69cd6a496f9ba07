"""Everything before the first step: sources read, the plan made, teachers opened, examples made.

It knows the data side of a run, and opens what that needs.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from crossrank.train.base import model_fingerprint, model_folder
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device
from crossrank.train.embed import Embedder
from crossrank.train.events import Emit, Preparing
from crossrank.train.examples import Examples, make_examples
from crossrank.train.options import PartConfig
from crossrank.train.plan import Plan, make_plan
from crossrank.train.sources import Source, check_classes, read_source
from crossrank.train.store import Store
from crossrank.train.teachers import CosinePart, Part, RankerPart
from crossrank.types import Ranker

Rankers = Mapping[str, Ranker]


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


def read_material(config: TrainConfig, emit: Emit) -> Material:
    """All sources, and the plan over them."""
    sources = []
    for number, one in enumerate(config.sources):
        emit(Preparing(one.title, "reading", number, len(config.sources)))
        source = read_source(one, config.below_data(one.path), config.run.seed)
        check_classes(source, others=config.negatives.hard + config.negatives.random)
        sources.append(source)
    examples = config.train.steps * config.train.queries_per_step
    return Material(
        tuple(sources), make_plan(config.sources, [len(source.judged) for source in sources], examples, config.run.seed)
    )


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
    miner = None if config.negatives.ranker is None else _ranker(config.negatives.ranker, rankers)[0]
    return make_examples(config, material.sources, material.plan, store, parts, keys, miner, emit)


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
    return Reranker(str(folder), cache=None), model_fingerprint(folder)
