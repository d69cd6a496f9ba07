"""Which backend runs a model: the one that was asked for, or the fastest that can. Decided once, when it is opened.

It knows what is installed and what this machine has; it opens nothing.
"""

from importlib.util import find_spec

from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import ModelProfile
from crossrank.errors import MissingExtra, UnsupportedModelError, UsageError
from crossrank.machine import gpus

PROVIDER = "ExecutionProvider"  # what a device of ONNX Runtime's own ends in


def choose(profile: ModelProfile, backend: str, device: str, *, weights: bool = True, onnx: bool = False) -> str:
    """Native, torch or onnx.

    "auto" is torch where there is a GPU of NVIDIA's that it can use; else the native engine, if it has the family;
    else torch on the CPU; else, where torch is not installed, ONNX Runtime with the model's ONNX file. A model that is
    stored as ONNX only runs there, and on an execution provider that is named nothing else does.

    Args:
        profile: of the model.
        backend: what was asked for, or "auto".
        device: likewise.
        weights: whether it is stored as safetensors.
        onnx: whether it is stored as ONNX.

    Raises:
        UsageError: the native engine was asked to run on a GPU.
        UnsupportedModelError: it was asked to run a family that it does not have.
        MissingExtra: torch or ONNX Runtime is needed, and not installed.
    """
    if backend == "onnx":
        return _onnx("it was asked for")
    if device.endswith(PROVIDER):
        if backend != "auto":
            raise UsageError(f"device={device!r} is of ONNX Runtime: use backend='onnx', or 'auto'; not {backend!r}.")
        return _onnx(f"{device} is of it")
    if backend == "auto" and onnx and not weights:
        return _onnx(f"{profile.name!r} is stored as ONNX only")
    from crossrank.backends.native import runs

    native, on_cpu = runs(profile), device in ("auto", "cpu")
    if backend == "native":
        if not on_cpu:
            raise UsageError(
                f"backend='native' runs on the CPU, not on device={device!r}. Use backend='torch', or 'auto'."
            )
        if not native:
            raise UnsupportedModelError(f"{_why_not_native(profile)} Use backend='torch', or 'auto'.")
        return "native"
    if backend == "torch" or not on_cpu or not native:
        because = "It was asked for" if backend == "torch" or not on_cpu else _why_not_native(profile).rstrip(".")
        if backend == "auto" and on_cpu and onnx and find_spec("torch") is None and find_spec("onnxruntime"):
            return "onnx"
        return _torch(because)
    return "torch" if device == "auto" and cuda_devices() else "native"


def _torch(because: str) -> str:
    if find_spec("torch") is None:
        raise MissingExtra(f"torch is not installed, and is needed: {because}. Run: pip install 'crossrank[torch]'")
    return "torch"


def _onnx(because: str) -> str:
    if find_spec("onnxruntime") is None:
        raise MissingExtra(
            f"ONNX Runtime is not installed, and is needed: {because}. Run: pip install 'crossrank[onnx]'"
        )
    return "onnx"


def cuda_devices() -> int:
    """GPUs that torch can use; it is only loaded where the driver shows one."""
    if not gpus() or find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def _why_not_native(profile: ModelProfile) -> str:
    if profile.foreign_because:
        return profile.foreign_because.rstrip(".") + "."
    known = [family.name for family in FAMILIES.values() if family.native]
    return f"{profile.name!r} is a {profile.family.name}; the native engine runs {', '.join(known)}."
