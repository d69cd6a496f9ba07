"""The composition root: from what the caller asked for to an open model. "auto" is resolved here, once, and logged.

It is the only place that knows both checkpoints and backends.
"""

import logging
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.source import locate
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.checkpoint.weights import load_weights
from crossrank.engine.cache import MemoryCache, ScoreCache
from crossrank.engine.cut import WINDOWS_MAX, LongDocuments
from crossrank.engine.encode import EncodeConfig, Encoder
from crossrank.engine.scorer import Scorer
from crossrank.errors import ArgumentTypeError, UnsupportedModelError, UsageError

log = logging.getLogger("crossrank")


@dataclass(frozen=True, slots=True)
class OpenConfig:
    """Everything that decides what a scorer computes, and where; see `Reranker` for the meaning of each."""

    model: str | None = None
    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_tokens: int | None = None
    max_length: int | None = None
    long_documents: LongDocuments = "chunk"
    windows_max: int = WINDOWS_MAX
    instruction: str | None = None
    cache: str | ScoreCache | None = "memory"
    revision: str | None = None


CHOICES = {
    "device": ("auto", "cpu"),
    "backend": ("auto", "native"),
    "precision": ("auto", "fp32"),
    "long_documents": ("chunk", "truncate", "error", "longest_first"),
}


def open_scorer(config: OpenConfig) -> Scorer:
    """The model that `config` asks for, ready to score.

    Raises:
        UsageError, ArgumentTypeError: an option has a value that cannot be taken.
        ModelError: the model cannot be found, read or scored.
    """
    from crossrank.backends.native import NativeBackend  # loads the compiled engine

    _check(config)
    source = locate(config.model, revision=config.revision)
    profile = read_profile(source.folder, source.name)
    if config.instruction is not None:
        raise UnsupportedModelError(
            f"{source.name!r} takes no instruction: it was trained on plain queries. Leave out instruction=."
        )
    tokenizer = load_tokenizer(source.folder, profile)
    encode = EncodeConfig(
        _max_length(config, profile), config.long_documents, config.windows_max, profile.truncation_side
    )
    encoder = Encoder(tokenizer, read_template(tokenizer, profile), encode)
    weights = load_weights(source.folder, profile)
    backend = NativeBackend(profile, weights, threads=config.threads, batch_tokens=config.batch_tokens)
    log.info("opened %s: %s", source.name, backend.facts)
    cache = MemoryCache() if config.cache == "memory" else config.cache
    assert cache is None or not isinstance(cache, str), "bug: an unchecked cache spec"
    # A private cache needs no fingerprint of the weights; reading them all would double the time to open.
    shared = cache is not None and config.cache != "memory"
    identity = fingerprint(source.folder, encode, backend.facts.precision) if shared else b""
    return Scorer(profile, encoder, backend, cache, identity)


def fingerprint(folder: Path, encode: EncodeConfig, precision: str) -> bytes:
    """What tells this model's scores from any other's: all its files' content, how texts are cut, the precision."""
    digest = blake2b(repr((encode, precision)).encode(), digest_size=32)
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.safetensors")]):
        digest.update(f"{file.name}:{file.stat().st_size}:".encode())
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.digest()


def _max_length(config: OpenConfig, profile: ModelProfile) -> int:
    if config.max_length is None:
        return profile.max_length
    if config.max_length > profile.max_length:
        raise UsageError(
            f"max_length={config.max_length} is above what {profile.name!r} can read: {profile.max_length} tokens"
        )
    return config.max_length


def _check(config: OpenConfig) -> None:
    for name, allowed in CHOICES.items():
        value = getattr(config, name)
        if value not in allowed:
            raise UsageError(f"{name}={value!r} is not available in this version; allowed: {', '.join(allowed)}")
    for name, least in (("threads", 1), ("batch_tokens", 1), ("max_length", 8), ("windows_max", 1)):
        _check_count(name, getattr(config, name), least)
    cache: Any = config.cache
    if not (cache is None or cache == "memory" or (isinstance(cache, ScoreCache) and not isinstance(cache, str))):
        raise UsageError(
            f"cache={cache!r} is not available in this version; allowed: 'memory', None, or a ScoreCache object"
        )


def _check_count(name: str, value: Any, least: int) -> None:
    optional = name in {field.name for field in fields(OpenConfig) if field.default is None}
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise UsageError(f"{name}={value} is too small; it must be at least {least}")
