"""The composition root: from what the caller asked for to an open model. "auto" is resolved here, once, and logged.

It is the only place that knows both checkpoints and backends.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from crossrank.backends.contract import Backend
from crossrank.backends.onnx_files import onnx_files
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.source import locate
from crossrank.checkpoint.tokenizer import (
    PairTemplate,
    load_tokenizer,
    prefixed,
    prompt_template,
    read_template,
    with_answers,
)
from crossrank.checkpoint.weights import Tensor, load_weights
from crossrank.engine.cache import ScoreCache, open_cache
from crossrank.engine.choose import choose, cuda_devices
from crossrank.engine.cut import WINDOWS_MAX, Aggregate, LongDocuments, aggregate_of
from crossrank.engine.encode import EncodeConfig, Encoder, token_cache
from crossrank.engine.fingerprint import fingerprint
from crossrank.engine.language import guard_of
from crossrank.engine.packed import packed_file
from crossrank.engine.precision import kept
from crossrank.engine.replicate import Count, Where, on_cores, on_gpus, replicated
from crossrank.engine.scorer import Scorer
from crossrank.engine.selftest import self_test
from crossrank.errors import ArgumentTypeError, UnsupportedModelError, UsageError
from crossrank.machine import usable_cores
from crossrank.numa import domains
from crossrank.observe import ModelOpened, emit

log = logging.getLogger("crossrank")


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


def open_scorer(config: OpenConfig) -> Scorer:
    """The model that `config` asks for, ready to score.

    Raises:
        UsageError, ArgumentTypeError: an option has a value that cannot be taken.
        ModelError: the model cannot be found, read or scored.
    """
    _check(config)
    started = time.perf_counter()
    cache = open_cache(config.cache)
    source = locate(config.model, revision=config.revision, onnx=config.backend == "onnx")
    profile = read_profile(
        source.folder, source.name, template=config.template, layer=config.layer, classes=config.classes
    )
    check_instruction(profile, config.instruction, config.instruction_mode)
    tokenizer = load_tokenizer(source.folder, profile)
    profile = with_answers(profile, tokenizer)
    encode = EncodeConfig(
        max_length=checked_length(config.max_length, profile),
        long_documents=config.long_documents,
        windows_max=config.windows_max,
        aggregate=_aggregate(config),
        max_chars=config.max_chars,
        truncation_side=profile.truncation_side,
        cut_query=config.cut_query,
    )
    encoder = replace(_encoder(config, profile, tokenizer, encode), recent=None if cache is None else token_cache())
    backend = open_backend(config, profile, source.folder)
    log.info("opened %s: %s", source.name, backend.facts)
    # A private cache needs no fingerprint of the weights; reading them all would double the time to open.
    shared = cache is not None and config.cache != "memory"
    identity = fingerprint(source.folder, profile, encoder, backend.facts) if shared else b""
    guard = guard_of(source.name, source.folder) if config.language_guard else None
    scorer = Scorer(profile, encoder, backend, cache, identity, folder=source.folder, guard=guard)
    if config.self_test and not (config.classes and profile.labels > 1):  # its question is about relevance
        whole = replace(encoder, config=replace(encode, max_chars=None))  # the probes are meant to be read to the end
        self_test(replace(scorer, encoder=whole, guard=None))
    facts, seconds = backend.facts, time.perf_counter() - started
    emit(
        ModelOpened(
            model=profile.name,
            backend=facts.backend,
            device=facts.device,
            precision=facts.precision,
            seconds=seconds,
        )
    )
    return scorer


def _encoder(config: OpenConfig, profile: ModelProfile, tokenizer: Tokenizer, encode: EncodeConfig) -> Encoder:
    """How the model is given texts: by its template or prompt, with the instruction where the mode says."""
    prompt = None if profile.prompt is None else partial(prompt_template, tokenizer, profile.prompt)
    if prompt is not None and config.instruction_mode == "native":
        asked: Callable[[str | None], PairTemplate] = prompt
    else:
        plain = read_template(tokenizer, profile) if prompt is None else prompt(None)
        if config.instruction_mode == "native":
            return Encoder(tokenizer, plain, encode)
        asked = partial(prefixed, plain)
    otherwise = config.instruction is not None
    return Encoder(tokenizer, asked(config.instruction), encode, asked, asked_otherwise=otherwise)


def _aggregate(config: OpenConfig) -> Aggregate:
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


Weights = Mapping[str, Tensor]


def open_backend(config: OpenConfig, profile: ModelProfile, folder: Path, *, weights: Weights | None = None) -> Backend:
    """The model in `folder` on the backend that was asked for, or the fastest that runs it; on each of its places.

    `weights` stand in for those of the folder, of a model in one place; what is packed of them is not kept.
    """
    if weights is not None:
        return _open_replica(config, profile, folder, Where(config.device, config.threads), weights)
    wheres = [Where(config.device, config.threads)] if config.devices is None else list(map(Where, config.devices))
    if config.replicas != 1:
        wheres = _wheres(config, _chosen(config, profile, folder))
    if len(wheres) == 1:
        return _open_replica(config, profile, folder, wheres[0])
    chosen = _chosen(replace(config, device=wheres[0].device), profile, folder)
    if chosen == "onnx" and config.devices is not None:
        raise UsageError(f"devices={list(config.devices)}: ONNX Runtime runs on one. Use backend='torch', or device=.")
    precision = config.precision
    if chosen == "native":
        precision = resolved_precision(folder, precision)  # once, so that it is the same in all
    elif precision == "auto" and chosen == "torch":
        from crossrank.backends.device import common_precision

        precision = common_precision([where.device for where in wheres])
    config = replace(config, precision=precision, cache=None)
    return replicated(lambda where: partial(_open_replica, config, profile, folder, where), wheres)


def _wheres(config: OpenConfig, chosen: str) -> list[Where]:
    """Where the replicas run that were asked for by their number."""
    if chosen == "torch" and config.device != "cpu" and (gpus := cuda_devices()):
        return on_gpus(config.replicas, gpus, config.device)
    if config.device not in ("auto", "cpu"):
        raise UsageError(f"replicas={config.replicas!r}: on device={config.device!r} there is one model. Leave it out.")
    return on_cores(config.replicas, config.threads, domains(), usable_cores())


def _chosen(config: OpenConfig, profile: ModelProfile, folder: Path, *, given: bool = False) -> str:
    """Native, torch or onnx."""
    stored = given or any(folder.glob("*.safetensors"))
    return choose(profile, config.backend, config.device, weights=stored, onnx=bool(onnx_files(folder)))


def _open_replica(
    config: OpenConfig, profile: ModelProfile, folder: Path, where: Where, weights: Weights | None = None
) -> Backend:
    """The model in `folder`, once, in this process."""
    config = replace(config, device=where.device, threads=where.threads)
    given = weights is not None
    chosen = _chosen(config, profile, folder, given=given)
    # A graph is of the authors' own making, whatever their code is.
    _check_verified(profile, allowed=config.allow_unverified or chosen == "onnx")
    if chosen == "onnx":
        from crossrank.backends.onnx import open_onnx

        if config.compile:
            raise UsageError("compile=True is for the torch engine on a GPU; ONNX Runtime compiles by itself.")
        if config.layer is not None:
            raise UsageError(f"layer={config.layer}: an ONNX file computes all its layers. Use backend='torch'.")
        return open_onnx(
            profile,
            folder,
            device=config.device,
            precision=config.precision,
            threads=config.threads,
            batch_tokens=config.batch_tokens,
        )
    if weights is None and not profile.family.foreign:
        weights = load_weights(folder, profile)
    if chosen == "torch":
        from crossrank.backends.torch import open_torch

        return open_torch(
            profile,
            folder,
            weights,
            device=config.device,
            precision=config.precision,
            threads=config.threads,
            batch_tokens=config.batch_tokens,
            compile=config.compile,
        )
    from crossrank.backends.native import NativeBackend, engine_file, used_isa  # loads the compiled engine

    if config.compile:
        raise UsageError("compile=True is for the torch engine on a GPU; the native engine is compiled already.")
    assert weights is not None, "bug: the native engine runs no foreign family"
    precision = resolved_precision(folder, config.precision)
    return NativeBackend(
        profile,
        weights,
        precision=precision,
        threads=config.threads,
        batch_tokens=config.batch_tokens,
        packed="" if given else packed_file(folder, engine_file(), used_isa(), precision, where.domain),
    )


def available_precisions() -> tuple[str, list[str]]:
    """The instruction set that models run on here, and the precisions it has, the fastest first."""
    from crossrank.backends.native import precisions, used_isa

    return used_isa(), precisions()


def resolved_precision(folder: Path, wanted: str) -> str:
    """What "auto" is for the model in `folder` on this machine; another precision as it is, if the processor has it."""
    from crossrank.backends.native import chosen_precision

    verdict = kept(folder, *available_precisions()) if wanted == "auto" else None
    if verdict is None:
        return chosen_precision(wanted)
    log.info("precision auto is %s: the fastest that agrees with fp32 on %s", verdict.fastest, verdict.on)
    return verdict.fastest


def _check_verified(profile: ModelProfile, *, allowed: bool) -> None:
    """Raise for a model whose scores may not be those that its authors meant, unless the caller takes that risk."""
    if profile.unverified and not allowed:
        raise UnsupportedModelError(
            f"{profile.name!r} is not verified: {profile.unverified}. To use it all the same, give "
            "allow_unverified=True (--allow-unverified), and compare some scores with those of its model card first."
        )


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


def _check(config: OpenConfig) -> None:
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
