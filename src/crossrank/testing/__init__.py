"""What tests need and no network has: tiny checkpoints, a backend of chosen logits, a vendor that fails when told to.

For tests of crossrank and of applications that use it; in the package only the benchmark's shapes are made with it.
`FakeVendor` and its values are loaded when first used: they speak the wire, which `crossrank[remote]` brings.
"""

from typing import TYPE_CHECKING, Any

from crossrank.testing.backend import FakeBackend
from crossrank.testing.checkpoint import tiny_checkpoint, write_safetensors

if TYPE_CHECKING:
    from crossrank.testing.faults import Fault, Request
    from crossrank.testing.vendor import FakeVendor, shared_letters

__all__ = [
    "FakeBackend",
    "FakeVendor",
    "Fault",
    "Request",
    "shared_letters",
    "tiny_checkpoint",
    "write_safetensors",
]

_HOMES = {"FakeVendor": "vendor", "Fault": "faults", "Request": "faults", "shared_letters": "vendor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossrank.testing' has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(f"crossrank.testing.{_HOMES[name]}"), name)
    except ImportError as exc:
        if exc.name != "msgspec":
            raise
        from crossrank.errors import MissingExtra

        raise MissingExtra("msgspec is not installed. Run: pip install 'crossrank[remote]'") from exc


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
