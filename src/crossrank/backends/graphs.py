"""CUDA graphs for small batches, where starting a hundred kernels takes longer than running them.

A graph is recorded for a shape, so batches are laid out in one of a few: places beyond a batch's own belong to no row,
and rows beyond its own are empty. It knows nets and shapes; not what is computed.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrank.nets.rows import Rows, unpacked

TOKENS_MAX = 16_384  # beyond it, the kernels take longer than their start
GRAPHS_MAX = 48
STEPS = 4  # sizes between a power of two and the next
LONGEST_MIN, ROWS_MIN, TOKENS_MIN = 32, 8, 256
WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """What a graph is recorded for: places for tokens and rows, and the longest row."""

    tokens: int
    rows: int
    longest: int

    @classmethod
    def of(cls, tokens: int, rows: int, longest: int) -> "Shape":
        """The smallest shape that holds a batch; pure."""
        return cls(_up(tokens, TOKENS_MIN), _up(rows, ROWS_MIN), _up(longest, LONGEST_MIN))


@dataclass(frozen=True, slots=True)
class Graph:
    """A recorded pass: fill `given`, replay, read `logits`."""

    given: Tensor
    logits: Tensor
    graph: torch.cuda.CUDAGraph


class Graphs:
    """The graphs of one net, recorded when a shape comes a second time, the least used forgotten."""

    def __init__(self, net: Callable[[Rows], Tensor], device: torch.device) -> None:
        self._net, self._device = net, device
        self._graphs: OrderedDict[Shape, Graph | None] = OrderedDict()  # None: seen once

    def wants(self, shape: Shape) -> bool:
        """Whether to run this shape by a graph."""
        if shape.tokens > TOKENS_MAX:
            return False
        seen = shape in self._graphs
        self._graphs.setdefault(shape, None)
        self._graphs.move_to_end(shape)
        if len(self._graphs) > GRAPHS_MAX:
            self._graphs.popitem(last=False)
        return seen

    def run(self, shape: Shape, laid_out: Tensor, rows: int) -> Tensor:
        """Logits fp32 [rows, labels] of what `packed` laid out for this shape, int32 in pinned memory."""
        graph = self._graphs[shape]
        if graph is None:
            graph = self._graphs[shape] = self._record(shape, laid_out)
        graph.given.copy_(laid_out, non_blocking=True)
        graph.graph.replay()
        return graph.logits[:rows].clone()

    def forget(self) -> None:
        """Free what the graphs hold."""
        self._graphs.clear()

    def _record(self, shape: Shape, laid_out: Tensor) -> Graph:
        given = laid_out.to(self._device)
        rows = unpacked(given, shape.tokens, shape.longest, ())
        beside = torch.cuda.Stream(self._device)
        beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._net(rows)
        torch.cuda.current_stream(self._device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            logits = self._net(rows)
        return Graph(given, logits, graph)


def _up(count: int, least: int) -> int:
    """The next size: a power of two, or one of the steps between two of them."""
    if count <= least:
        return least
    step = max(1, (1 << (count - 1).bit_length()) // (2 * STEPS))
    return -(-count // step) * step
