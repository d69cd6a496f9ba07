"""What the options of an open model are, and which values they may have: checked before anything is opened.

It knows types, ranges and what a model's profile says; not backends, nor what the options do.
"""

import re
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from crossrank.checkpoint.profile import ModelProfile
from crossrank.engine.cache import ScoreCache
from crossrank.engine.cut import WINDOWS_MAX, Aggregate, LongDocuments, aggregate_of
from crossrank.engine.replicate import Count
from crossrank.errors import ArgumentTypeError, UnsupportedModelError, UsageError


@dataclass(frozen=True, slots=True)
class OpenConfig:
    """Everything that decides what a scorer computes, and where; see `Reranker` for the meaning of each."""

    model: str | None = None
    device: str = "auto"
    devices: tuple[str, ...] | None = None
    replicas: Count = 1
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_tokens: int | None = None
    max_length: int | None = None
    long_documents: LongDocuments = "chunk"
    windows_max: int = WINDOWS_MAX
    aggregate: str = "max"
    max_chars: int | None = None
    instruction: str | None = None
    instruction_mode: str = "native"
    template: str | None = None
    cache: str | ScoreCache | None = "memory"
    revision: str | None = None
    compile: bool = False
    layer: int | None = None
    allow_unverified: bool = False
    language_guard: bool = True
    self_test: bool = True  # score a few probes first; `crossrank doctor` does it by itself
    cut_query: bool = False  # only for the drop-in that must cut as sentence-transformers does
    classes: bool = False  # only for that drop-in too: labels that are no grades of relevance, each with its own logit


DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?|[A-Z][A-Za-z]{1,40}ExecutionProvider")
CHOICES = {
    "backend": ("auto", "native", "torch", "onnx"),
    "precision": ("auto", "fp32", "bf16", "fp16", "int8"),
    "long_documents": ("chunk", "truncate", "error"),
    "instruction_mode": ("native", "prefix"),
}
COUNTS = {  # least, most, whether it may be left out
    "replicas": (1, 1024, False),
    "threads": (1, 1024, True),
    "batch_tokens": (1, 2**24, True),
    "max_length": (8, 2**24, True),
    "windows_max": (1, 2**16, False),
    "max_chars": (1, 2**31, True),
}


def check_options(config: OpenConfig) -> None:
    """Raise for what can be told without the model."""
    device: Any = config.device
    if not isinstance(device, str) or not DEVICES.fullmatch(device):
        raise UsageError(
            f"device={device!r} is not known; allowed: auto, cpu, cuda, cuda:N (as cuda:1), mps, "
            "or the name of an execution provider of ONNX Runtime"
        )
    _check_replicas(config)
    for name, allowed in CHOICES.items():
        value = getattr(config, name)
        if value not in allowed:
            raise UsageError(f"{name}={value!r} is not available in this version; allowed: {', '.join(allowed)}")
    for name in COUNTS.keys() - {"replicas"}:
        _check_count(name, getattr(config, name))


def checked_aggregate(config: OpenConfig) -> Aggregate:
    """How the windows of a document come to one logit."""
    name: Any = config.aggregate
    aggregate = aggregate_of(name) if isinstance(name, str) else None
    if aggregate is None:
        raise UsageError(f"aggregate={name!r} is not known; allowed: max, first, mean_top_2, mean_top_3 and so on")
    if name != "max" and config.long_documents != "chunk":
        raise UsageError(
            f"aggregate={name!r} is about the windows of a document, of which long_documents="
            f"{config.long_documents!r} makes none. Leave out one of them, or use long_documents='chunk'."
        )
    return aggregate


def checked_length(max_length: int | None, profile: ModelProfile) -> int:
    """The tokens of a row: what is asked for, at most what the model can read, which is the default."""
    if max_length is None:
        return profile.max_length
    _check_count("max_length", max_length)
    if max_length > profile.max_length:
        raise UsageError(
            f"max_length={max_length} is above what {profile.name!r} can read: {profile.max_length} tokens"
        )
    return max_length


def check_instruction(profile: ModelProfile, instruction: str | None, mode: str = "native") -> None:
    """Raise for an instruction that would silently do nothing, and for what is none; `mode` is `instruction_mode`."""
    if instruction is None:
        return
    if not isinstance(instruction, str) or not instruction.strip():
        raise UsageError(f"instruction must be a text that says what to look for, not {instruction!r}")
    if any("\ud800" <= character <= "\udfff" for character in instruction):
        raise UsageError(f"instruction holds a lone surrogate, which is no valid Unicode text: {instruction!r}")
    if mode == "native" and (profile.prompt is None or not profile.prompt.instructed):
        raise UnsupportedModelError(
            f"{profile.name!r} takes no instruction: it was trained on plain queries. Leave out instruction=, or "
            "open it with instruction_mode='prefix', which puts the instruction before the query as text."
        )


def _check_replicas(config: OpenConfig) -> None:
    devices, replicas = config.devices, config.replicas
    if replicas != "auto":
        _check_count("replicas", replicas)
    if devices is None:
        return
    known = bool(devices) and all(isinstance(device, str) and DEVICES.fullmatch(device) for device in devices)
    if not known or (len(devices) > 1 and not _different_gpus(devices)):
        raise UsageError(
            f"devices={list(devices)!r} cannot be taken; allowed: one device, or several GPUs of CUDA, each once, such "
            "as ['cuda:0', 'cuda:1']"
        )
    if config.device != "auto" or replicas != 1:
        raise UsageError("devices= says what the model runs on, a replica on each: leave out device= and replicas=")


def _different_gpus(devices: tuple[str, ...]) -> bool:
    return all(device.startswith("cuda:") for device in devices) and len(set(devices)) == len(devices)


def _check_count(name: str, value: Any) -> None:
    least, most, optional = COUNTS[name]
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{name} must be a whole number, not {value!r}")
    if not least <= int(value) <= most:
        raise UsageError(
            f"{name}={value} is too {'small' if int(value) < least else 'large'}; allowed: {least} to {most}"
        )
