"""Which backend runs a model: the one that was asked for, or the fastest that can. Decided once, when it is opened.

It knows what is installed and what this machine has; it opens nothing.
"""

from importlib.util import find_spec

from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import ModelProfile
from crossrank.errors import MissingExtra, UnsupportedModelError, UsageError
from crossrank.machine import gpus


def choose(profile: ModelProfile, backend: str, device: str) -> str:
    """Native or torch.

    "auto" is torch where there is a GPU of NVIDIA's that it can use; else the native engine, if it has the family;
    else torch on the CPU.

    Raises:
        UsageError: the native engine was asked to run on a GPU.
        UnsupportedModelError: it was asked to run a family that it does not have.
        MissingExtra: torch is needed, and not installed.
    """
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
        return _torch(because)
    return "torch" if device == "auto" and _cuda() else "native"


def _torch(because: str) -> str:
    if find_spec("torch") is None:
        raise MissingExtra(f"torch is not installed, and is needed: {because}. Run: pip install 'crossrank[torch]'")
    return "torch"


def _cuda() -> bool:
    """Whether torch can use a GPU; torch is only loaded where the driver shows one."""
    if not gpus() or find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _why_not_native(profile: ModelProfile) -> str:
    if profile.foreign_because:
        return profile.foreign_because.rstrip(".") + "."
    known = [family.name for family in FAMILIES.values() if family.native]
    return f"{profile.name!r} is a {profile.family.name}; the native engine runs {', '.join(known)}."
