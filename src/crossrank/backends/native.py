"""The C++ engine on the CPU: packed tokens, fp32, the fastest instruction set that this processor has.

It knows profiles, weights and batches; not texts, pairs or caches.
"""

import os
import threading
from collections.abc import Mapping

from crossrank import _native
from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import Tensor
from crossrank.errors import CheckpointError, UsageError
from crossrank.machine import usable_cores

ISA_VARIABLE = "CROSSRANK_ISA"
BATCH_TOKENS = 16_384  # about a second of a small model in fp32: deadlines and Ctrl-C are looked at in between
ROWS_MAX = 4_096


class NativeBackend:
    """A BERT-family encoder with its head; see native/encoder.cpp for the arithmetic."""

    def __init__(
        self,
        profile: ModelProfile,
        weights: Mapping[str, Tensor],
        *,
        threads: int | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        self._encoder = _native.Encoder(_config(profile), dict(weights), isa=wanted_isa())
        self._threads = usable_cores() if threads is None else int(threads)
        self.limits = Limits(tokens_max=int(batch_tokens or BATCH_TOKENS), rows_max=ROWS_MAX)
        self.facts = BackendFacts("native", "cpu", "fp32", self._threads, self._encoder.isa)

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:  # noqa: ARG002 - always fp32
        """Logits fp32 [rows, labels]; the same bits for the same row in any batch."""
        interruptible = threading.current_thread() is threading.main_thread()
        try:
            return self._encoder.run(batch.ids, batch.segments, batch.offsets, self._threads, interruptible)
        except ValueError as exc:  # an id that the weights do not know: the tokenizer was made for another model
            raise CheckpointError(
                f"The tokenizer and the weights of the model do not belong together: {exc}. Download it again."
            ) from exc


def wanted_isa() -> str:
    """The instruction set that CROSSRANK_ISA forces, else "auto"."""
    wanted = os.environ.get(ISA_VARIABLE, "").strip().lower() or "auto"
    if wanted != "auto" and wanted not in _native.isas():
        raise UsageError(
            f"{ISA_VARIABLE}={wanted!r}: this processor runs {', '.join(_native.isas())}. Unset it to use the fastest."
        )
    return wanted


def _config(profile: ModelProfile) -> dict[str, int | float | str]:
    return {
        "hidden": profile.hidden,
        "heads": profile.heads,
        "layers": profile.layers,
        "intermediate": profile.intermediate,
        "labels": profile.labels,
        "activation": profile.activation,
        "head_activation": profile.family.head_activation,
        "norm_eps": profile.norm_eps,
        "position_offset": profile.position_offset,
        "pad_id": profile.pad_id if profile.family.positions_from_padding else -1,
    }
