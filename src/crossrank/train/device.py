"""What a run computes on: "auto" of the config resolved once, here. It knows torch and the machine; not data."""

from dataclasses import dataclass

from crossrank.errors import MissingExtra, UsageError
from crossrank.train.options import StepsConfig


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
        UsageError: a GPU or bfloat16 is asked for and not there.
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


def _cpu_has_bf16() -> bool:
    """Whether bfloat16 products are fast: AVX-512 BF16 or AMX. Without, autocast would only lose accuracy."""
    import torch

    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # the name in torch 2.4 to 2.13, at least
    return bool(ask is not None and ask())
