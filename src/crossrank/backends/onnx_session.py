"""An ONNX Runtime session on a device, with its inputs and output checked by name, type and shape.

It knows files, devices and ONNX Runtime; not rows, texts or scores.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from crossrank.backends.onnx_graph import Graph, corrupt
from crossrank.errors import CheckpointError, MissingExtra, OutOfMemoryError, UnsupportedModelError, UsageError
from crossrank.machine import gpus, usable_cores

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
INTEGERS: Mapping[str, Any] = MappingProxyType({"tensor(int64)": np.int64, "tensor(int32)": np.int32})
FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
NEEDED = ("input_ids", "attention_mask")
KNOWN = (*NEEDED, "token_type_ids")
OUTPUT = "logits"
FATAL = 4  # what it says besides goes to stderr as well as into the exception


@dataclass(frozen=True, slots=True)
class Session:
    """A graph that is ready to run.

    Attributes:
        runtime: ONNX Runtime's own session.
        inputs: the integer type of each input, by name.
        output: the name of the logits.
        device: cpu, cuda:0 or the name of the execution provider.
        threads: of the CPU; 0 where it does not compute.
        one_row: the graph takes a single row at a time.
    """

    runtime: Any
    inputs: Mapping[str, Any]
    output: str
    device: str
    threads: int
    one_row: bool


def open_session(file: Path, graph: Graph, *, device: str, threads: int | None, labels: int) -> Session:
    """The file, ready to run.

    Raises:
        UsageError: the device cannot be had.
        CheckpointError: the file is corrupt, or of a version that this ONNX Runtime does not read.
        UnsupportedModelError: inputs or outputs that are none of a reranker's.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise MissingExtra("ONNX Runtime is not installed. Run: pip install 'crossrank[onnx]'") from exc
    provider, number = provider_for(device, onnxruntime.get_available_providers())
    on_cpu = provider == PROVIDERS["cpu"]
    cores = usable_cores() if threads is None else int(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores, 1
    options.enable_mem_pattern = False  # it plans memory for one shape; ours differ from call to call
    options.log_severity_level = FATAL
    chosen: list[Any] = [(provider, {"device_id": number}) if provider == PROVIDERS["cuda"] else provider]
    try:
        runtime = onnxruntime.InferenceSession(
            str(file), options, providers=chosen if on_cpu else [*chosen, PROVIDERS["cpu"]]
        )
    except Exception as exc:  # its errors share no base below Exception
        raise _refused(file, graph, exc, onnxruntime.__version__) from exc
    if provider not in runtime.get_providers():
        raise UsageError(
            f"device={device!r}: ONNX Runtime has {provider}, but it does not start here; its libraries (for CUDA: "
            "CUDA and cuDNN of the versions it was built for) are likely missing. Use device='cpu'."
        )
    inputs, one_row = _inputs(runtime, file)
    name = {PROVIDERS["cpu"]: "cpu", PROVIDERS["cuda"]: f"cuda:{number}"}.get(provider, provider)
    return Session(runtime, inputs, _output(runtime, file, labels), name, cores if on_cpu else 0, one_row)


def provider_for(device: str, available: list[str]) -> tuple[str, int]:
    """The execution provider of a device, and the device's number.

    Args:
        device: auto, cpu, cuda, cuda:N, mps, or the name of any execution provider; auto is CUDA where ONNX Runtime
            has it and the driver shows a GPU, else the CPU.
        available: what this build of ONNX Runtime has.
    """
    kind, _, number = device.partition(":")
    if device == "auto":
        kind = "cuda" if PROVIDERS["cuda"] in available and gpus() else "cpu"
    wanted = PROVIDERS.get(kind, device)
    if wanted not in available:
        remedy = " For CUDA install onnxruntime-gpu in place of onnxruntime." if kind == "cuda" else ""
        raise UsageError(
            f"device={device!r} needs {wanted}; this ONNX Runtime has {', '.join(available)}.{remedy} "
            "Otherwise use device='cpu', or 'auto'."
        )
    return wanted, int(number or 0)


def failed(exc: Exception, name: str, tokens: int) -> Exception:
    """What to raise where a run fails: for want of memory, or because the file is not what it seems."""
    if short_of_memory(exc):
        return OutOfMemoryError(
            f"There is too little memory for {tokens} tokens of {name!r}: {_first_line(exc)}. "
            "Give a smaller max_length, a smaller model, or another device."
        )
    return CheckpointError(
        f"The ONNX file of {name!r} fails on {tokens} tokens: {_first_line(exc)}. "
        "Export it again, with axes of any length; `crossrank export` does."
    )


def short_of_memory(exc: Exception) -> bool:
    """Whether an error of ONNX Runtime's means that memory was short."""
    said = str(exc).lower()
    return isinstance(exc, MemoryError) or any(
        sign in said for sign in ("failed to allocate memory", "bad_alloc", "out of memory", "alloc failed")
    )


def _refused(file: Path, graph: Graph, exc: Exception, version: str) -> CheckpointError:
    said = _first_line(exc)
    if "opset" in said.lower() or "ir version" in said.lower():
        return CheckpointError(
            f"{file} is written in opset {graph.opset}, which ONNX Runtime {version} does not read: {said}. "
            "Run: pip install --upgrade onnxruntime; or export the model again with a lower opset."
        )
    return corrupt(file, said)


def _inputs(runtime: Any, file: Path) -> tuple[Mapping[str, Any], bool]:
    """The type of each input, and whether the graph takes one row at a time."""
    given = {entry.name: entry for entry in runtime.get_inputs()}
    unknown = [name for name in given if name not in KNOWN]
    missing = [name for name in NEEDED if name not in given]
    if unknown or missing:
        raise UnsupportedModelError(
            f"{file} takes {', '.join(given) or 'nothing'}; "
            + "; ".join(
                f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
            )
            + f". A reranker takes {', '.join(KNOWN)} (the last where it has segments)."
        )
    wrong = [f"{name} is {entry.type}" for name, entry in given.items() if entry.type not in INTEGERS]
    if wrong:
        raise UnsupportedModelError(f"{file}: {', '.join(wrong)}; inputs must be {' or '.join(INTEGERS)}.")
    for name, entry in given.items():
        shape = list(entry.shape)
        if len(shape) != 2 or isinstance(shape[1], int) or (isinstance(shape[0], int) and shape[0] != 1):
            raise UnsupportedModelError(
                f"{file}: {name} has the shape {shape}; rows and tokens must both be free. "
                "Export it again with dynamic axes; `crossrank export` does."
            )
    return {name: INTEGERS[entry.type] for name, entry in given.items()}, any(e.shape[0] == 1 for e in given.values())


def _output(runtime: Any, file: Path, labels: int) -> str:
    """The output called logits, or the only one that can be them."""
    outputs = list(runtime.get_outputs())
    named = [entry for entry in outputs if entry.name == OUTPUT]
    fitting = named or [entry for entry in outputs if entry.type in FLOATS and len(entry.shape) == 2]
    if len(fitting) != 1 or fitting[0].type not in FLOATS:
        listed = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in outputs)
        raise UnsupportedModelError(
            f"{file} gives {listed}; a reranker gives `logits`, floats [rows, {labels}]. It may be an embedding or "
            "language model, or exported without its head: export it for sequence classification."
        )
    shape = list(fitting[0].shape)
    if shape and (len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != labels)):
        raise CheckpointError(
            f"{file} gives {fitting[0].name} of the shape {shape}, config.json says {labels} labels. "
            "They belong to different models: download or export the model again."
        )
    name: str = fitting[0].name
    return name


def _first_line(exc: Exception) -> str:
    """What ONNX Runtime says, without its numbers of errors and places in its source."""
    said = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ .*?\)(?= )", "", str(exc))
    return " ".join(said.split())[:300].rstrip(".")
