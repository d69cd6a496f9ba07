"""What tests need and no network has: tiny checkpoints made on the spot, and a backend whose logits are chosen.

For tests of crossrank and of applications that use it; in the package only the benchmark's shapes are made with it.
"""

from crossrank.testing.backend import FakeBackend
from crossrank.testing.checkpoint import tiny_checkpoint, write_safetensors

__all__ = ["FakeBackend", "tiny_checkpoint", "write_safetensors"]
