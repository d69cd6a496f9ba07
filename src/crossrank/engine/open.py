"""The composition root: from what the caller asked for to an open model. "auto" is resolved here, once, and logged.

It is the only place that knows both checkpoints and backends.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

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
from crossrank.engine.cache import open_cache
from crossrank.engine.choose import choose, cuda_devices
from crossrank.engine.encode import EncodeConfig, Encoder, token_cache
from crossrank.engine.fingerprint import fingerprint
from crossrank.engine.language import guard_of
from crossrank.engine.options import OpenConfig, check_instruction, check_options, checked_aggregate, checked_length
from crossrank.engine.packed import packed_file
from crossrank.engine.precision import kept
from crossrank.engine.replicate import Where, on_cores, on_gpus, replicated
from crossrank.engine.scorer import Scorer
from crossrank.engine.selftest import self_test
from crossrank.errors import UnsupportedModelError, UsageError
from crossrank.machine import usable_cores
from crossrank.numa import domains
from crossrank.observe import ModelOpened, emit

log = logging.getLogger("crossrank")
Weights = Mapping[str, Tensor]


def open_scorer(config: OpenConfig) -> Scorer:
    """The model that `config` asks for, ready to score.

    Raises:
        UsageError, ArgumentTypeError: an option has a value that cannot be taken.
        ModelError: the model cannot be found, read or scored.
    """
    check_options(config)
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
        aggregate=checked_aggregate(config),
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
