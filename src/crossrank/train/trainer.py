"""The loop over steps: sentence-transformers' trainer with batches in the plan's order, whole checkpoints, and stops.

It knows torch, sentence-transformers and the run's events; not where examples come from.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from crossrank.errors import NotFiniteError
from crossrank.train.checkpoints import checkpoints, scheduled
from crossrank.train.config import TrainConfig
from crossrank.train.device import Device
from crossrank.train.events import Emit, Evaluated, Saved, Stepped
from crossrank.train.examples import Examples, teacher_names
from crossrank.train.log import append_log
from crossrank.train.losses import ListLoss
from crossrank.train.record import LOG
from crossrank.train.store import resumable
from crossrank.writing import whole_folder


class ListTrainer(CrossEncoderTrainer):  # type: ignore[misc] # not typed
    """A CrossEncoderTrainer whose checkpoints are whole or absent, and which stops at a loss that is no number.

    Args:
        config: the run.
        device: what it computes on.
        student: the CrossEncoder.
        examples: in the order of training; as many as steps x queries_per_step.
        emit: hears of steps, evaluations and checkpoints.
        measure: after a step, measures by set.
        stop: asked after each step whether to save and leave.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: Device,
        student: Any,
        examples: Examples,
        emit: Emit,
        measure: Callable[[], dict[str, float]],
        stop: Callable[[], bool],
    ) -> None:
        self._config, self._examples, self._emit, self._measure, self._stop = config, examples, emit, measure, stop
        self._checkpoints = config.output / "checkpoints"
        self._partial = self._checkpoints
        self._losses: list[float] = []
        self._pairs, self._since = 0, time.perf_counter()
        loss = ListLoss(student, config.losses, teacher_names(config), pairs_per_forward=device.pairs_per_forward)
        logging.getLogger("accelerate").setLevel(logging.ERROR)
        super().__init__(
            model=student,
            args=_arguments(config, device),
            train_dataset=_dataset(examples),
            loss=loss,
            callbacks=[_Hooks(self)],
        )
        self.remove_callback(PrinterCallback)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: the card is our own, and theirs reads through the data first."""

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """A step's loss; its gradients are not applied if it is no number."""
        self._pairs += sum(map(len, inputs["documents"]))
        loss = super().training_step(model, inputs, num_items_in_batch)
        value = float(loss)
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        self._losses.append(value)
        return loss

    def _get_output_dir(self, trial: Any = None) -> str:  # noqa: ARG002
        return str(self._partial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            raise self._diverged("a weight is no number")
        name = f"checkpoint-{self.state.global_step}"
        whole = self._checkpoints / name
        with resumable(whole), whole_folder(whole) as partial:
            self._partial = partial / "made"
            super()._save_checkpoint(model, trial)
            for file in (self._partial / name).iterdir():
                file.rename(partial / file.name)
            shutil.rmtree(self._partial)
        self._forget(whole)
        self._emit(Saved(self.state.global_step, str(whole)))

    def _forget(self, last: Path) -> None:
        train, whole = self._config.train, checkpoints(self._checkpoints)
        of_schedule = scheduled(whole, save_every=train.save_every, steps=train.steps)
        kept = {last, *of_schedule[-max(train.keep, train.average) :]}
        for folder in whole:
            if folder not in kept:
                shutil.rmtree(folder)

    def _diverged(self, what: str) -> NotFiniteError:
        last = checkpoints(self._checkpoints)
        kept = f"{last[-1]} is the last good checkpoint" if last else "there is no checkpoint yet"
        return NotFiniteError(
            f"At step {self.state.global_step + 1} {what}; training has stopped, and {kept}. Likely causes: a learning "
            f"rate that is too high ({self._config.train.learning_rate:g}), too short a warm-up "
            f"({self._config.train.warmup:g} of the steps), or teacher scores far outside what `scale` expects."
        )

    def after_step(self, control: Any) -> None:
        """Report, measure, and leave if asked to."""
        step, steps = self.state.global_step, self.state.max_steps
        if step % self._config.train.log_every == 0 or step == steps:
            self._report(step, steps)
        every = self._config.train.evaluate_every
        if every and step % every == 0 and step < steps:
            self.evaluate_now(step)
        if self._stop() and step < steps:
            control.should_save = control.should_training_stop = True

    def evaluate_now(self, step: int) -> dict[str, float]:
        """Measures by set after a step, reported and logged."""
        before = time.perf_counter()
        measures = self._measure()
        self._since += time.perf_counter() - before
        if measures:
            self._emit(Evaluated(step, measures))
            self._log({"step": step, "measures": measures})
        return measures

    def _report(self, step: int, steps: int) -> None:
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        done = len(self._losses)
        rate = self.lr_scheduler.get_last_lr()[0] if self.lr_scheduler is not None else 0.0
        event = Stepped(
            step, steps, sum(self._losses) / done, rate, self._pairs / seconds, (steps - step) * seconds / done
        )
        self._emit(event)
        self._log({"step": step, "loss": event.loss, "learning_rate": rate, "pairs_per_s": round(event.pairs_per_s, 1)})
        self._losses, self._pairs, self._since = [], 0, now

    def _log(self, line: dict[str, Any]) -> None:
        append_log(self._config.output / LOG, line)

    def begin(self) -> None:
        """Start the clock."""
        self._since = time.perf_counter()


class _Hooks(TrainerCallback):  # type: ignore[misc] # not typed
    """Passes on the trainer's own calls."""

    def __init__(self, trainer: ListTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._trainer.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._trainer.after_step(control)


def _arguments(config: TrainConfig, device: Device) -> CrossEncoderTrainingArguments:
    train = config.train
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(config.output / "checkpoints"),
        max_steps=train.steps,
        per_device_train_batch_size=train.queries_per_step,
        learning_rate=train.learning_rate,
        warmup_steps=math.ceil(train.warmup * train.steps),
        lr_scheduler_type="constant_with_warmup" if train.schedule == "constant" else train.schedule,
        weight_decay=train.weight_decay,
        max_grad_norm=train.clip,
        optim="adamw_torch_fused",
        bf16=device.bf16,
        use_cpu=device.name == "cpu",
        save_strategy="steps",
        save_steps=train.save_every,
        logging_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=config.run.seed,
        data_seed=config.run.seed,
        batch_sampler=_in_order,
        dataloader_pin_memory=device.name != "cpu",
    )
    return on_one_device(arguments)


def on_one_device(arguments: CrossEncoderTrainingArguments) -> CrossEncoderTrainingArguments:
    """The same for the first GPU alone: with several, transformers would split each list and multiply the batch."""
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - there is no option for it; set after the first look
    return arguments


def _in_order(dataset: Any, **options: Any) -> DefaultBatchSampler:
    return DefaultBatchSampler(SequentialSampler(dataset), **options)


def _dataset(examples: Examples) -> Dataset:
    def resolved(rows: dict[str, list[int]]) -> dict[str, list[Any]]:
        found = [examples[place] for place in rows["place"]]
        return {
            "query": [one.query for one in found],
            "documents": [one.documents for one in found],
            "label": [one.targets for one in found],
        }

    return Dataset.from_dict({"place": list(range(len(examples)))}).with_transform(resolved)
