"""The C++ engine on the CPU: packed tokens, fp32, bf16 or int8, the fastest instruction set that this processor has.

It knows profiles, weights and batches; not texts, pairs or caches.
"""

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from crossrank import _native
from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits, Pending
from crossrank.checkpoint.families import AnswerStep, HeadStep, NormStep
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import Tensor
from crossrank.errors import CheckpointError, UsageError
from crossrank.machine import usable_cores

ISA_VARIABLE = "CROSSRANK_ISA"
BATCH_TOKENS = 16_384  # about a second of a small model in fp32: deadlines and Ctrl-C are looked at in between
ROWS_MAX = 4_096
UNBOUNDED = 2**31 - 1  # a window that hides nothing


class NativeBackend:
    """An encoder of any known family with its head; see native/encoder.cpp for the arithmetic."""

    def __init__(
        self,
        profile: ModelProfile,
        weights: Mapping[str, Tensor],
        *,
        precision: str = "auto",
        threads: int | None = None,
        batch_tokens: int | None = None,
        packed: str = "",
    ) -> None:
        self._open = partial(_native.Encoder, _config(profile), dict(weights), isa=wanted_isa())
        self._encoder = self._open(precision=chosen_precision(precision), packed=packed)
        self._threads = usable_cores() if threads is None else int(threads)
        self._last: weakref.ref[_native.Begun] | None = None
        self.limits = Limits(tokens_max=int(batch_tokens or BATCH_TOKENS), rows_max=ROWS_MAX, ahead=1)
        self.facts = BackendFacts(
            "native", "cpu", self._encoder.precision, self._threads, self._encoder.isa, tuple(precisions())
        )

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """Logits fp32 [rows, labels]; the same bits for the same row in any batch."""
        encoder = self._exact if exact else self._encoder
        with _fitting():
            return encoder.run(batch.ids, batch.segments, batch.offsets, self._threads, _interruptible())

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:
        """The batch, computed at once by the caller's own thread, or else by another when the last that was is done.

        One batch at a time has the cores. The next one's tokens are made meanwhile: of what Python does, which takes
        one core, hardly anything is waited for.
        """
        if not aside:
            logits = self.run(batch)
            return lambda: logits
        before = self._last() if self._last is not None else None
        with _fitting():
            begun = _native.Begun(self._encoder, batch.ids, batch.segments, batch.offsets, self._threads, before)
        self._last = weakref.ref(begun)
        return lambda: begun.wait(_interruptible())

    @cached_property
    def _exact(self) -> _native.Encoder:
        """The same weights in fp32, made when they are first needed; two threads may both make them, and one stays."""
        return self._encoder if self._encoder.precision == "fp32" else self._open(precision="fp32")


def _interruptible() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except ValueError as exc:  # an id that the weights do not know: the tokenizer was made for another model
        raise CheckpointError(
            f"The tokenizer and the weights of the model do not belong together: {exc}. Download it again."
        ) from exc


def runs(profile: ModelProfile) -> bool:
    """Whether the C++ engine has the model's family."""
    layout = profile.layout
    known = layout.activation in ("gelu", "gelu_tanh", "relu") and profile.pooling in ("first", "mean")
    return profile.family.native and known


def engine_file() -> Path:
    """The compiled engine."""
    return Path(_native.__file__)


def used_isa() -> str:
    """The instruction set that models run on."""
    wanted = wanted_isa()
    return _native.isas()[0] if wanted == "auto" else wanted


def precisions() -> list[str]:
    """What models can run in on that instruction set, the fastest first."""
    return _native.precisions(used_isa())


def chosen_precision(wanted: str) -> str:
    """What was asked for, if this processor has it; for "auto", what is both fast and close to fp32 with any model."""
    has = precisions()
    if wanted == "auto":
        return "bf16" if "bf16" in has else "fp32"
    if wanted not in has:
        raise UsageError(
            f"precision={wanted!r}: this processor ({used_isa()}) runs {', '.join(has)}. Give one of them, or 'auto' "
            "for the fastest that agrees with fp32."
        )
    return wanted


def wanted_isa() -> str:
    """The instruction set that CROSSRANK_ISA forces, else "auto"."""
    wanted = os.environ.get(ISA_VARIABLE, "").strip().lower() or "auto"
    if wanted != "auto" and wanted not in _native.isas():
        raise UsageError(
            f"{ISA_VARIABLE}={wanted!r}: this processor runs {', '.join(_native.isas())}. Unset it to use the fastest."
        )
    return wanted


def _config(profile: ModelProfile) -> dict[str, Any]:
    layout = profile.layout
    return {
        "hidden": profile.hidden,
        "heads": profile.heads,
        "intermediate": profile.intermediate,
        "activation": layout.activation,
        "norm_eps": layout.norm_eps,
        "positions": profile.positions,
        "position_offset": profile.position_offset,
        "pad_id": profile.pad_id if profile.family.positions_from_padding else -1,
        "segments": profile.segments,
        "norm_first": layout.norm_first,
        "gated": layout.gated,
        "attention_bias": layout.qkv_bias,
        "ffn_bias": layout.ffn_bias,
        "norm_bias": layout.norm_bias,
        "layers": [(s.theta, UNBOUNDED if s.window is None else s.window) for s in layout.sights],
        "pooling": profile.pooling,
        "head": [_step(step) for step in profile.head],
    }


def _step(step: HeadStep) -> dict[str, Any]:
    assert not isinstance(step, AnswerStep), "bug: language models are not the native engine's"
    if isinstance(step, NormStep):
        return {"norm_eps": step.eps, "bias": step.bias}
    return {"out": step.out, "activation": step.activation, "bias": step.bias}
