"""A look before a long run: all sources read, the first step's examples made, a few steps timed on them.

It knows the parts that come before the first step, and the loss; it writes nothing.
"""

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossrank.train.base import model_folder
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device, resolve_device
from crossrank.train.events import Emit, ignore
from crossrank.train.examples import Example, teacher_names
from crossrank.train.measuring import query_texts, read_sets
from crossrank.train.prepare import Rankers, first_examples, read_material
from crossrank.train.student import open_student

TIMED_STEPS = 3


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do.

    Attributes:
        counts: by source: queries, documents, examples.
        pairs: pairs of query and document in all steps, about.
        examples: the first step's.
        device: what it would run on.
        pairs_per_s: measured on the first step's examples.
        seconds: of all steps at that rate.
    """

    counts: Mapping[str, tuple[int, int, int]]
    pairs: int
    examples: tuple[Example, ...]
    device: str
    pairs_per_s: float
    seconds: float


def dry_run(config: TrainConfig, *, emit: Emit = ignore, rankers: Rankers | None = None) -> DryRun:
    """Read everything, make the first step's examples, time a few steps on them; leave the output folder alone."""
    device = resolve_device(config.train)
    base = model_folder(config.model.base)
    material = read_material(config, emit, query_texts(read_sets(config)))
    with tempfile.TemporaryDirectory() as folder:
        kept = (
            config
            if config.run.cache
            else dataclasses.replace(config, run=dataclasses.replace(config.run, cache=folder))
        )
        examples = first_examples(kept, material, device, rankers or {}, emit)
    first = tuple(examples[place] for place in range(len(examples)))
    rate = _rate(config, device, base, first)
    pairs = examples.pairs * len(material.plan) // len(examples)
    return DryRun(material.counts, pairs, first, device.label, rate, pairs / rate)


def _rate(config: TrainConfig, device: Device, base: Path, examples: Sequence[Example]) -> float:
    """Pairs a second of a few steps on the same examples, the first step not counted."""
    import torch

    from crossrank.train.losses import ListLoss

    student = open_student(base, config, device)
    loss = ListLoss(student, config.losses, teacher_names(config), pairs_per_forward=device.pairs_per_forward)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-9, fused=True)
    inputs = [[one.query for one in examples], [one.documents for one in examples]]
    targets = [torch.tensor(one.targets) for one in examples]
    student.train()
    times = []
    for _ in range(1 + TIMED_STEPS):
        started = time.perf_counter()
        with torch.autocast(device.name, torch.bfloat16, enabled=device.bf16):
            value = loss(inputs, targets)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        value.item()  # a GPU answers late; this waits for it
        times.append(time.perf_counter() - started)
    return sum(len(one.documents) for one in examples) / min(times[1:])
