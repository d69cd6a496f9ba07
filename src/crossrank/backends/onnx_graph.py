"""What an ONNX file says of itself: its operators, the type of its weights, the files it keeps weights in.

It reads the protobuf's structure from a memory map and skips the weights, so that no library is needed to tell a
quantised model from an exact one. It knows bytes; not sessions, profiles or rows.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from crossrank.errors import CheckpointError

# Numbers of fields in onnx.proto.
MODEL_OPSET, MODEL_GRAPH, MODEL_FUNCTION = 8, 7, 25
GRAPH_NODE, GRAPH_WEIGHTS = 1, 5
FUNCTION_NODE = 7
NODE_OPERATOR, NODE_ATTRIBUTE = 4, 5
ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 6, 11
TENSOR_DIMENSIONS, TENSOR_TYPE, TENSOR_EXTERNAL = 1, 2, 13
ENTRY_KEY, ENTRY_VALUE = 1, 2
OPSET_DOMAIN, OPSET_VERSION = 1, 2

FLOATS = {1: "fp32", 10: "fp16", 16: "bf16"}  # TensorProto.DataType
INT4 = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
INT8 = frozenset({"DequantizeLinear", "MatMulInteger", "MatMulIntegerToFloat", "QAttention", "QGemm", "QLinearMatMul"})
BY_BATCH = "DynamicQuantize"  # operators whose one scale is of all rows that are run together
DEPTH_MAX = 16  # of graphs within graphs


@dataclass
class Graph:
    """What was found in a file.

    Attributes:
        opset: of ONNX's own operators.
        operators: their names.
        weights: how many numbers there are of each type of float.
        external: names of files beside it that hold weights.
    """

    opset: int = 0
    operators: set[str] = field(default_factory=set)
    weights: Counter[str] = field(default_factory=Counter)
    external: set[str] = field(default_factory=set)

    @property
    def precision(self) -> str:
        """What it computes in: fp32, fp16, bf16, int8 or int4."""
        if self.operators & INT4:
            return "int4"
        if self.operators & INT8 or self.rows_alone:
            return "int8"
        return max(self.weights, key=lambda name: self.weights[name], default="fp32")

    @property
    def rows_alone(self) -> bool:
        """Whether a row's numbers depend on those beside it: the scale of its activations is found over them all."""
        return any(name.startswith(BY_BATCH) for name in self.operators)


def read_graph(file: Path) -> Graph:
    """What the file says of itself.

    Raises:
        CheckpointError: it cannot be read, is no ONNX, ends too early, or lacks a file it keeps weights in.
    """
    graph = Graph()
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = _model(content, graph)
    except (OSError, ValueError, UnicodeDecodeError) as exc:  # mmap calls an empty file a ValueError
        raise corrupt(file, exc) from exc
    if not found:
        raise corrupt(file, "there is no graph in it")
    if outside := sorted(name for name in graph.external if Path(name).is_absolute() or ".." in Path(name).parts):
        raise CheckpointError(
            f"{file} keeps its weights outside of its folder ({outside[0][:100]}), which is not followed."
        )
    absent = sorted(name for name in graph.external if not (file.parent / name).is_file())
    if absent:
        raise CheckpointError(
            f"{file} keeps its weights in {', '.join(absent)}, and {file.parent} lacks that. "
            "Put both into one folder, under the names they were made with, or download the model again."
        )
    return graph


def corrupt(file: Path, because: object) -> CheckpointError:
    """What to raise for a file that cannot be read."""
    return CheckpointError(f"{file} is no sound ONNX file: {because}. Download or export the model again.")


def _model(content: mmap.mmap, graph: Graph) -> bool:
    found = False
    for number, start, stop in _fields(content, 0, len(content)):
        if number == MODEL_GRAPH:
            _nodes(content, start, stop, graph, node=GRAPH_NODE)
            found = True
        elif number == MODEL_FUNCTION:
            _nodes(content, start, stop, graph, node=FUNCTION_NODE)
        elif number == MODEL_OPSET:
            entry = {kind: (first, last) for kind, first, last in _fields(content, start, stop)}
            domain = content[slice(*entry[OPSET_DOMAIN])] if OPSET_DOMAIN in entry else b""
            if domain in (b"", b"ai.onnx"):
                graph.opset = entry.get(OPSET_VERSION, (0, 0))[0]
    return found


def _nodes(content: mmap.mmap, start: int, stop: int, graph: Graph, *, node: int, depth: int = 0) -> None:
    """The nodes of a graph or a function, and its weights."""
    if depth > DEPTH_MAX:
        raise ValueError("its graphs are nested too deeply")
    for number, first, last in _fields(content, start, stop):
        if number == node:
            for kind, begin, end in _fields(content, first, last):
                if kind == NODE_OPERATOR:
                    graph.operators.add(content[begin:end].decode())
                elif kind == NODE_ATTRIBUTE:
                    for inner, inner_start, inner_stop in _fields(content, begin, end):
                        if inner in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                            _nodes(content, inner_start, inner_stop, graph, node=GRAPH_NODE, depth=depth + 1)
        elif number == GRAPH_WEIGHTS and node == GRAPH_NODE:
            _tensor(content, first, last, graph)


def _tensor(content: mmap.mmap, start: int, stop: int, graph: Graph) -> None:
    dimensions: list[int] = []
    kind = 0
    for number, first, last in _fields(content, start, stop):
        if number == TENSOR_TYPE:
            kind = first
        elif number == TENSOR_DIMENSIONS:
            dimensions += [first] if last < 0 else _packed(content, first, last)
        elif number == TENSOR_EXTERNAL:
            entry = {part: content[begin:end].decode() for part, begin, end in _fields(content, first, last)}
            if entry.get(ENTRY_KEY) == "location":
                graph.external.add(entry.get(ENTRY_VALUE, ""))
    if kind in FLOATS:
        graph.weights[FLOATS[kind]] += prod(dimensions)


def _packed(content: mmap.mmap, start: int, stop: int) -> list[int]:
    numbers = []
    while start < stop:
        number, start = _varint(content, start)
        numbers.append(number)
    return numbers


def _fields(content: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Each field's number with where its bytes begin and end; of a number, its value and -1."""
    while start < stop:
        key, start = _varint(content, start)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, start = _varint(content, start)
            yield number, value, -1
            continue
        if wire == 2:
            length, start = _varint(content, start)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"byte {start} is none that ONNX has there")
        if not number or start + length > stop:
            raise ValueError(f"it ends too early, or was damaged, at byte {start}")
        yield number, start, start + length
        start += length


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError(f"it ends too early, or was damaged, at byte {at}")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
