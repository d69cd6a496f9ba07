"""The torch engine: CPU, CUDA and MPS, packed tokens, every family that is known and what transformers knows besides.

It knows nets, devices and batches; not texts, pairs or caches.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossrank.backends.contract import HURRIED_TOKENS, BackendFacts, Batch, Limits, Logits, Pending
from crossrank.backends.device import Place, free_memory, out_of_memory, place_for, precisions, tokens_that_fit
from crossrank.backends.graphs import Graphs, Shape
from crossrank.backends.packing import beginning_apart, packed, shared_beginning
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import Tensor as Stored
from crossrank.errors import OutOfMemoryError, UsageError
from crossrank.nets.foreign import Foreign
from crossrank.nets.rows import Rows, unpacked
from crossrank.nets.transformer import Transformer

log = logging.getLogger("crossrank")

ROWS_MAX = 16_384
GPU_HURRIED_TOKENS = 4_096  # what takes a few milliseconds there
SAVED_MIN = 0.1  # of a batch's tokens: below, a mask costs more than what is not computed twice
FOREIGN_BYTES = 400_000  # what a token of a model whose shape is not known may take: a large one, generously


class Net(Protocol):
    """A model in one precision on one device."""

    kernel: str  # what computes its attention

    def __call__(self, rows: Rows) -> Tensor:
        """Logits fp32 [rows, labels]."""
        ...


class TorchBackend:
    """Any reranker on what torch runs on.

    Args:
        profile: of the model.
        net: opens it on a device in a dtype.
        place: where it runs, and in which precision.
        batch_tokens: the most tokens of one pass; by default what memory holds.
        graphs: whether small batches run as CUDA graphs, where they can.
        compile: whether torch.compile makes its kernels, instead.
    """

    def __init__(
        self,
        profile: ModelProfile,
        net: Callable[[torch.device, torch.dtype], Net],
        place: Place,
        *,
        batch_tokens: int | None = None,
        graphs: bool = True,
        compile: bool = False,  # noqa: A002 - what torch calls it
    ) -> None:
        self._profile, self._open, self._place = profile, net, place
        self._lock = threading.Lock()  # for what is begun: graphs read from one place, and the limit is one
        self._net = net(place.device, place.dtype)
        packs = place.cuda and self._net.kernel == "varlen"
        if compile and not packs:
            raise UsageError(
                f"compile=True is for packed attention, which {place.device} in {place.precision} with this model has "
                "not. Leave it out, or run on CUDA in bf16 or fp16."
            )
        self._compute: Callable[[Rows], Tensor] = torch.compile(self._net, dynamic=True) if compile else self._net
        self._graphs = Graphs(self._net, place.device) if packs and graphs and not compile else None
        # Packed attention would need keys that are longer than their queries; see docs/engines.md.
        self._shares = profile.layout.causal and self._net.kernel == "padded"
        self._tokens_max = batch_tokens or tokens_that_fit(place, _bytes_per_token(profile, place))
        made = "compiled" if compile else "graphs" if self._graphs else "eager"
        detail = f"{self._net.kernel}, {made}" if place.cuda else self._net.kernel
        threads = torch.get_num_threads() if place.device.type == "cpu" else 0
        self.facts = BackendFacts(
            "torch", str(place.device), place.precision, threads, detail, precisions(place.device)
        )

    @property
    def limits(self) -> Limits:
        """The most that one call takes; it shrinks where memory turns out to be short."""
        hurried = GPU_HURRIED_TOKENS if self._place.cuda else HURRIED_TOKENS
        return Limits(self._tokens_max, ROWS_MAX, hurried, ahead=int(self._place.cuda))

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:
        """Logits fp32 [rows, labels]."""
        return self.begin(batch, exact=exact)()

    def begin(self, batch: Batch, *, aside: bool = False, exact: bool = False) -> Pending:  # noqa: ARG002 - a GPU always is
        """Start a batch; on a GPU it goes on while the caller does something else. The result waits for it."""
        with self._lock, self._place.current():
            logits = torch.cat(self._parts(batch, exact=exact))
            if not self._place.cuda:
                return logits.cpu().numpy  # type: ignore[no-any-return]
            host = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(logits, non_blocking=True)
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(self._place.device))

        def wait() -> Logits:
            with self._place.current():
                done.synchronize()
            return host.numpy()  # type: ignore[no-any-return]

        return wait

    def _parts(self, batch: Batch, *, exact: bool) -> list[Tensor]:
        """Logits of the batch's rows, in parts; where memory is short, only what failed is run again, in halves."""
        try:
            return [self._pass(batch, exact=exact)]
        except (RuntimeError, MemoryError) as exc:
            if not out_of_memory(exc):
                raise
            short = str(exc).split("\n", 1)[0]
        # NOTE: outside of `except`: there the traceback would keep alive what did not fit.
        tokens, rows = len(batch.ids), len(batch.offsets) - 1
        if self._graphs is not None:
            self._graphs.forget()
        free_memory(self._place)
        if rows == 1:
            raise OutOfMemoryError(
                f"{self._place.device} has too little memory for {tokens} tokens of {self._profile.name!r}: {short}. "
                "Give a smaller max_length, a lower precision, or another device."
            )
        self._tokens_max = max(1, min(self._tokens_max, tokens // 2))
        log.warning("%s is short of memory: passes of %d tokens from now on", self._place.device, self._tokens_max)
        first, second = halves(batch)
        return [*self._parts(first, exact=exact), *self._parts(second, exact=exact)]

    def _pass(self, batch: Batch, *, exact: bool) -> Tensor:
        lengths = np.diff(batch.offsets)
        _check(batch, lengths, self._profile)
        longest, rows = int(lengths.max()), len(lengths)
        shape = Shape.of(len(batch.ids), rows, longest)
        if self._graphs is not None and not exact and self._graphs.wants(shape):
            laid_out = torch.from_numpy(packed(batch, self._profile, tokens=shape.tokens, rows=shape.rows))
            return self._graphs.run(shape, laid_out.pin_memory(), rows)
        shared = self._shared(batch) if self._shares else 0
        if shared:
            batch = beginning_apart(batch, shared)
            lengths = np.diff(batch.offsets)
        whole = torch.from_numpy(packed(batch, self._profile, shared=shared))
        whole = whole.pin_memory() if self._place.cuda else whole
        on_device = whole.to(self._place.device, non_blocking=True)
        compute = self._exact if exact else self._compute
        return compute(unpacked(on_device, len(batch.ids), longest, tuple(lengths.tolist()), shared))

    def _shared(self, batch: Batch) -> int:
        """Tokens that all rows begin with, if computing them once saves enough."""
        shared = shared_beginning(batch)
        saved = shared * (len(batch.offsets) - 2)
        return shared if saved >= SAVED_MIN * len(batch.ids) else 0

    @cached_property
    def _exact(self) -> Net:
        """The same weights in fp32, made when they are first needed."""
        return self._net if self._place.precision == "fp32" else self._open(self._place.device, torch.float32)


def open_torch(
    profile: ModelProfile,
    folder: Path,
    weights: Mapping[str, Stored] | None,
    *,
    device: str,
    precision: str,
    threads: int | None,
    batch_tokens: int | None,
    compile: bool,  # noqa: A002 - what torch calls it
) -> TorchBackend:
    """The model in `folder`; `weights` are those of a known family, None where transformers reads them itself."""
    place = place_for(device, precision)
    if threads is not None and place.device.type == "cpu":
        torch.set_num_threads(threads)  # torch knows no other way than for the whole process

    def net(where: torch.device, dtype: torch.dtype) -> Net:
        return (
            Foreign(folder, profile, where, dtype) if weights is None else Transformer(profile, weights, where, dtype)
        )

    return TorchBackend(profile, net, place, batch_tokens=batch_tokens, compile=compile)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Two batches of about half the tokens each, in order; of at least two rows."""
    rows = len(batch.offsets) - 1
    middle = int(np.searchsorted(batch.offsets, batch.offsets[-1] / 2))
    middle = min(max(middle, 1), rows - 1)
    cut = batch.offsets[middle]
    return (
        Batch(batch.ids[:cut], batch.segments[:cut], batch.offsets[: middle + 1]),
        Batch(batch.ids[cut:], batch.segments[cut:], batch.offsets[middle:] - cut),
    )


def _check(batch: Batch, lengths: NDArray[np.int32], profile: ModelProfile) -> None:
    """An id beyond a table would stop a GPU for good, so every index is looked at first."""
    assert (lengths > 0).all(), "bug: a row without tokens"
    batch.check_ids(profile.vocabulary)
    assert not profile.segments or int(batch.segments.max()) < profile.segments, "bug: an unknown segment"
    assert not profile.positions or int(lengths.max()) <= profile.positions - profile.position_offset, "bug: a long row"


def _bytes_per_token(profile: ModelProfile, place: Place) -> int:
    """What a token takes at the widest place of a layer, with the residual stream."""
    if profile.family.foreign:
        return FOREIGN_BYTES
    attention = 3 * (profile.heads + 2 * profile.kv_heads) * profile.head_size
    ffn = (5 if profile.layout.gated else 3) * profile.intermediate
    width: int = place.dtype.itemsize
    return width * (4 * profile.hidden + max(attention, ffn))
