"""What a run computes on: "auto" of the config resolved once, here. It knows torch and the machine; not data."""

import ctypes
import os
import platform
import shutil
from dataclasses import dataclass

from crossrank.errors import MissingExtra, UsageError
from crossrank.train.options import StepsConfig

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2  # mallopt's options, malloc.h


@dataclass(frozen=True, slots=True)
class Device:
    """Resolved choices.

    Attributes:
        name: torch's name.
        bf16: matrix products in bfloat16.
        attention: transformers' name of the implementation.
        pairs_per_forward: 0 is all of a step.
        threads: torch's CPU threads.
        label: for people: the GPU's name, or the number of CPU threads.
    """

    name: str
    bf16: bool
    attention: str
    pairs_per_forward: int
    threads: int
    label: str


def resolve_device(config: StepsConfig) -> Device:
    """What the config asks for, as far as this machine has it.

    Raises:
        UsageError: a GPU, bfloat16 or a compiler is asked for and not there.
        MissingExtra: torch is not installed.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra(
            "Training needs torch and sentence-transformers. Run: pip install 'crossrank[train]'"
        ) from exc
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        raise UsageError(
            "train.device is 'cuda', but torch sees no GPU here "
            f"(torch {torch.__version__}). Give device = 'auto' or 'cpu', or install a torch build for this GPU."
        )
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    on_gpu = has_gpu and config.device != "cpu"
    if config.compile and not on_gpu and not _compiler():
        raise UsageError(
            "train.compile is true, but there is no C++ compiler for torch.compile (g++, c++, clang++ or $CXX). "
            "Install one, or give compile = false: the steps are slower, the result is as good."
        )
    can_bf16 = torch.cuda.is_bf16_supported() if on_gpu else _cpu_has_bf16()
    if config.bf16 == "on" and on_gpu and not can_bf16:
        raise UsageError("train.bf16 is 'on', but this GPU has no bfloat16. Give bf16 = 'auto' or 'off'.")
    return Device(
        "cuda" if on_gpu else "cpu",
        config.bf16 == "on" or (config.bf16 == "auto" and can_bf16),
        config.attention if config.attention != "auto" else ("sdpa" if on_gpu else "eager"),
        config.pairs_per_forward or (0 if on_gpu else 16),
        torch.get_num_threads(),
        torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads",
    )


def keep_memory() -> None:
    """Have glibc keep the memory that a step frees for the next step.

    By default blocks above 32 MiB go back to the kernel at once and come again as zeroed pages: a fifth of a step on a
    CPU (measured: 39 to 48 pairs/s with all-MiniLM-L6-v2 on two cores). Elsewhere than on glibc it does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**28)):
            libc.mallopt(option, value)


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "c++", "clang++"))), None)


def _cpu_has_bf16() -> bool:
    """Whether bfloat16 products are fast: AVX-512 BF16 or AMX. Without, autocast would only lose accuracy."""
    import torch

    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # the name in torch 2.4 to 2.13, at least
    return bool(ask is not None and ask())
