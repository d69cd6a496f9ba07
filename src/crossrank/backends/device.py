"""Which device and dtype torch computes with: what was asked for, checked against what there is.

It knows torch; not models.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from crossrank.errors import ReplicaError, UsageError
from crossrank.nets.attention import AMPERE

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU_TOKENS = 16_384  # about a second of a small model: deadlines and Ctrl-C are looked at in between
TOKENS_MIN, TOKENS_MAX = 2_048, 262_144
MEMORY_SHARE = 0.5  # of what is free when a model is opened, for what is computed


@dataclass(frozen=True, slots=True)
class Place:
    """A device with the precision to compute in, both of which it has."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return DTYPES[self.precision]

    @property
    def cuda(self) -> bool:
        """Whether work on it goes on by itself once it is begun."""
        return str(self.device.type) == "cuda"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Where torch puts what does not say where it goes, meanwhile.

        Raises:
            ReplicaError: the GPU failed, and this process cannot use it any more.
        """
        try:
            with torch.cuda.device(self.device) if self.cuda else nullcontext():
                yield
        except RuntimeError as exc:
            if device_lost(exc):
                what = str(exc).split("\n", 1)[0]
                raise ReplicaError(f"{self.device} failed, and is lost to this process: {what}") from exc
            raise

    @property
    def name(self) -> str:
        """What the processor is called, or the kind of device where it has no name."""
        return str(torch.cuda.get_device_name(self.device) if self.cuda else self.device.type)


def place_for(device: str, precision: str) -> Place:
    """The device and precision that were asked for.

    Args:
        device: auto, cpu, cuda, cuda:N or mps; auto is the first GPU of CUDA, else the CPU.
        precision: auto, fp32, bf16 or fp16; auto is bf16 on a GPU that has it, else fp16 there; fp32 elsewhere.

    Raises:
        UsageError: there is no such device here, or it does not compute in that precision.
    """
    found = _device(device)
    has = precisions(found)
    if precision == "auto":
        precision = next((one for one in ("bf16", "fp16") if one in has), "fp32") if found.type == "cuda" else "fp32"
    if precision not in has:
        raise UsageError(f"precision={precision!r}: torch on {found} computes in {', '.join(has)}. Give one of them.")
    return Place(found, precision)


def common_precision(devices: Sequence[str]) -> str:
    """What "auto" is for replicas on several devices: the best that all of them have, so that all compute alike."""
    has = [place_for(device, "auto").precision for device in devices]
    return max(has, key=("bf16", "fp16", "fp32").index)


def device_lost(exc: BaseException) -> bool:
    """Whether an error of torch's means that the GPU is of no use to this process any more."""
    return isinstance(exc, RuntimeError) and "CUDA error" in str(exc) and not out_of_memory(exc)


def tokens_that_fit(place: Place, bytes_per_token: int) -> int:
    """Tokens of one pass, by the memory that is free now."""
    if place.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(place.device)
    elif place.device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    else:
        return CPU_TOKENS
    return int(min(max(MEMORY_SHARE * free / bytes_per_token, TOKENS_MIN), TOKENS_MAX))


def out_of_memory(exc: BaseException) -> bool:
    """Whether an error of torch's means that memory was short, on whatever device."""
    if isinstance(exc, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(exc)
    return isinstance(exc, RuntimeError) and ("out of memory" in said or "DefaultCPUAllocator: can't allocate" in said)


def free_memory(place: Place) -> None:
    """Give back what torch keeps for later."""
    if place.device.type == "cuda":
        torch.cuda.empty_cache()
    elif place.device.type == "mps":
        torch.mps.empty_cache()


def _device(wanted: str) -> torch.device:
    kind, _, number = wanted.partition(":")
    if kind == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            built = "was built without CUDA" if torch.version.cuda is None else "finds no GPU that it can use"
            raise UsageError(f"device={wanted!r}: torch {torch.__version__} {built}. Use device='cpu', or 'auto'.")
        count = torch.cuda.device_count()
        index = int(number or 0)
        if index >= count:
            raise UsageError(f"device={wanted!r}: there are {count} GPUs, cuda:0 to cuda:{count - 1}.")
        return torch.device("cuda", index)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device='mps': this machine has no Metal GPU that torch can use. Use device='cpu', or 'auto'.")
    return torch.device(kind)


def precisions(device: torch.device) -> tuple[str, ...]:
    """What a device computes in."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE:
        return ("fp32", "fp16")
    return ("fp32", "fp16") if device.type == "mps" else tuple(DTYPES)
