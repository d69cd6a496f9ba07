"""The path of a run, top to bottom: config, material, examples, steps, weights, measures, card, folder.

This is where the parts meet; it knows them all, and no terminal.
"""

import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrank.machine import cpu_name, memory_bytes, usable_cores
from crossrank.train.base import model_folder
from crossrank.train.card import Told, write_card
from crossrank.train.checkpoints import averaged, checkpoints, mean, scheduled
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device, keep_memory, resolve_device
from crossrank.train.events import Emit, Saved, Stopping, ignore
from crossrank.train.interrupt import TrainingInterrupted, stop_asked
from crossrank.train.log import read_log
from crossrank.train.measuring import (
    MeasuredSet,
    TorchRanker,
    first_stages,
    measure_all,
    native_ranker,
    query_texts,
    read_sets,
)
from crossrank.train.prepare import Rankers, prepare, read_material
from crossrank.train.record import LOG, claim, forget_after, read_record, versions, write_record
from crossrank.train.student import open_student, write_model
from crossrank.types import Ranker

if TYPE_CHECKING:
    from crossrank.train.trainer import ListTrainer


def train(config: TrainConfig, *, resume: bool = False, emit: Emit = ignore, rankers: Rankers | None = None) -> Path:
    """Train, and return the folder of the model.

    Args:
        config: from `read_config`, or made in Python.
        resume: continue the run in the output folder from its last checkpoint; the steps that follow and the weights
            are those of a run that was never interrupted (bit by bit on a CPU). Where there is no run, start one.
        emit: hears of everything that happens, see `crossrank.train.events`.
        rankers: teachers and miners that the config names and that are no checkpoints.

    Raises:
        UsageError, InputFileError: the config or the data cannot be taken; the message names the key or the line.
        ModelError: the base or a teacher cannot be had.
        NotFiniteError: the loss or a weight is no number; the last good checkpoint stays.
        CrossrankError: the disk refuses; nothing half-written stays.
        TrainingInterrupted: Ctrl-C or SIGTERM; the run can be continued.
    """
    device = resolve_device(config.train)
    if device.name == "cpu":
        keep_memory()
    base = model_folder(config.model.base)
    companions = [model_folder(spec) for spec in config.model.average_with]
    sets = read_sets(config)
    material = read_material(config, emit, query_texts(sets))
    claim(config, resume=resume)
    examples = prepare(config, material, device, rankers or {}, emit)
    student = open_student(base, config, device)
    with stop_asked(partial(emit, Stopping())) as stop:
        trainer = _trainer(config, device, student, examples, sets, emit, stop)
        seconds = _steps(trainer, config)
    weights = _weights(config, companions)
    student.model.load_state_dict({name: tensor.to(student.device) for name, tensor in weights.items()})
    last = trainer.evaluate_now(config.train.steps)
    told = Told(
        config, material.counts, examples.pairs, device.label, _machine(), seconds, first_stages(sets), last,
        _curve(config), versions(),
    )  # fmt: skip
    folder = config.output / "model"
    write_model(student, weights, config.model, write_card(told), folder)
    write_record(config, {"measures": last, "seconds": round(seconds, 1), "pairs": examples.pairs})
    emit(Saved(config.train.steps, str(folder)))
    return folder


def _curve(config: TrainConfig) -> list[tuple[int, dict[str, float]]]:
    lines = [line for line in read_log(config.output / LOG) if "measures" in line]
    return [(line["step"], line["measures"]) for line in lines if line["step"] < config.train.steps]


def _trainer(
    config: TrainConfig,
    device: Device,
    student: Any,
    examples: Any,
    sets: list[MeasuredSet],
    emit: Emit,
    stop: threading.Event,
) -> "ListTrainer":
    from crossrank.train.trainer import ListTrainer

    def open_ranker() -> Ranker:
        if device.name != "cpu":
            return TorchRanker(student)
        weights = {name: tensor.detach() for name, tensor in student.model.state_dict().items()}
        return native_ranker(partial(write_model, student, weights, config.model, ""), config.model.max_length)

    return ListTrainer(config, device, student, examples, emit, partial(measure_all, sets, open_ranker), stop.is_set)


def _steps(trainer: "ListTrainer", config: TrainConfig) -> float:
    """Run the steps that are left; the seconds that all took."""
    whole = checkpoints(config.output / "checkpoints")
    done = int(whole[-1].name.split("-")[1]) if whole else 0
    before = float(read_record(config).get("seconds_so_far", 0.0)) if whole else 0.0
    forget_after(config, done)
    started = time.perf_counter()
    if done < config.train.steps:
        trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    seconds = before + time.perf_counter() - started
    write_record(config, {"seconds_so_far": round(seconds, 1)})
    reached = max(done, trainer.state.global_step)
    if reached < config.train.steps:
        raise TrainingInterrupted(f"interrupted after step {reached} of {config.train.steps}, which is saved")
    return seconds


def _weights(config: TrainConfig, companions: list[Path]) -> dict[str, Any]:
    """The mean of the last checkpoints, and of that and other models."""
    whole = checkpoints(config.output / "checkpoints")
    of_schedule = scheduled(whole, save_every=config.train.save_every, steps=config.train.steps)
    return mean([averaged(of_schedule[-config.train.average :]), *(averaged([folder]) for folder in companions)])


def _machine() -> str:
    memory = memory_bytes()
    return f"{cpu_name()}, {usable_cores()} cores" + (f", {memory / 2**30:.0f} GiB" if memory else "")
