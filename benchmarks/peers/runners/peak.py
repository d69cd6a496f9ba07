"""What this machine's matrix units give: the fastest matrix product torch (oneDNN, MKL) computes, in each precision.

Weights are packed beforehand, shapes are large and the best repeat counts: an upper mark for a forward pass, not a
model of it.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

SHAPES = (
    (64, 1024, 1024),
    (512, 1024, 1024),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 1536, 1536),
)  # rows, inner, columns
SECONDS_EACH = 0.6
SLOW = 5e9  # no kernel for this precision, only the reference: no peak, and larger shapes would take minutes
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Runner:
    """Measures; scores nothing."""

    settings: tuple[int, ...] = ()
    precision = "none"

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        self.detail = f"torch {torch.__version__}"

    def measure(self) -> dict[str, float]:
        """Operations a second by precision; a precision that torch cannot do is left out."""
        found: dict[str, float] = {}
        for precision in ("fp32", "bf16", "int8"):
            for rows, inner, columns in SHAPES:
                try:
                    product = _product(precision, rows, inner, columns)
                    rate = 2 * rows * inner * columns / _fastest(product)
                except (RuntimeError, AttributeError):
                    continue
                found[precision] = max(found.get(precision, 0.0), rate)
                if rate < SLOW:
                    del found[precision]
                    break
        return found


def _product(precision: str, rows: int, inner: int, columns: int) -> Callable[[], object]:
    if precision == "int8":
        return _int8(rows, inner, columns)
    dtype = DTYPES[precision]
    a, b = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    if precision == "fp32":
        return lambda: torch.nn.functional.linear(a, b)
    packed = torch.ops.mkldnn._reorder_linear_weight(b, rows)  # noqa: SLF001
    return lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")  # noqa: SLF001


def _int8(rows: int, inner: int, columns: int) -> Callable[[], object]:
    a = torch.randint(0, 255, (rows, inner), dtype=torch.uint8)
    b = torch.randint(-127, 127, (inner, columns), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(b.t().contiguous(), [rows, inner])
    scales, zeros = torch.ones(columns), torch.zeros(columns, dtype=torch.int64)
    return lambda: torch.ops.onednn.qlinear_pointwise(
        a, 1.0, 0, packed, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
    )


def _fastest(product: Callable[[], object]) -> float:
    """Seconds of the best call."""
    with torch.no_grad():
        product()
        best, end = float("inf"), time.perf_counter() + SECONDS_EACH
        while time.perf_counter() < end:
            started = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - started)
    return best
