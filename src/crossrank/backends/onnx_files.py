"""Which ONNX file of a model's folder is run: the layouts of optimum, transformers.js and FlashRank.

It knows names of files and what they say of themselves; it loads no runtime.
"""

import platform
from collections.abc import Sequence
from pathlib import Path

from crossrank.backends.onnx_graph import Graph, read_graph
from crossrank.errors import CheckpointError, UsageError

PLACES = ("", "onnx")  # where they lie in a model's folder
EXACT = "model.onnx"  # what exporters call the model itself; the others are made from it
BY_EXACTNESS = ("fp32", "fp16", "bf16", "int8", "int4")
ARM = ("arm64", "aarch64")


def onnx_files(folder: Path) -> list[Path]:
    """The ONNX files of a folder, in the order in which they are preferred where nothing else tells them apart."""
    found = [file for place in PLACES for file in (folder / place).glob("*.onnx") if file.is_file()]
    return sorted(found, key=lambda file: (file.name != EXACT, _made_for(file.stem), file.parent != folder, file.name))


def onnx_file(folder: Path, precision: str) -> tuple[Path, Graph]:
    """The file to run in a precision, and what it says of itself.

    Args:
        folder: of the model.
        precision: fp32, fp16, bf16 or int8: a file of that precision. "auto": model.onnx where there is one, else the
            most exact; nothing was measured, so nothing speaks for another.

    Raises:
        CheckpointError: there is none, or one of them is broken.
        UsageError: there is none of that precision.
    """
    files = onnx_files(folder)
    if not files:
        raise CheckpointError(
            f"{folder} has no ONNX file, neither in itself nor in its folder onnx/. "
            "`crossrank export MODEL --onnx OUT` writes one; or use another backend."
        )
    if precision == "auto" and (len(files) == 1 or files[0].name == EXACT):
        return files[0], read_graph(files[0])
    graphs = [(file, read_graph(file)) for file in files]
    if precision == "auto":
        return min(graphs, key=lambda entry: BY_EXACTNESS.index(entry[1].precision))
    for file, graph in graphs:
        if graph.precision == precision:
            return file, graph
    raise UsageError(
        f"precision={precision!r}: {folder} has {_listed(folder, graphs)}. Give one of these, or 'auto'; "
        "an ONNX file has the precision that it was made in."
    )


def _made_for(stem: str) -> int:
    """0 for files that run well anywhere, more for those made for some processors, most for those of another kind."""
    arm = any(name in stem for name in ARM)
    if not arm and "avx" not in stem:
        return 0
    if arm != (platform.machine().lower() in ARM):
        return 3
    return 2 if "avx512" in stem else 1  # without its instructions, int8 sums for AVX-512 can overflow


def _listed(folder: Path, graphs: Sequence[tuple[Path, Graph]]) -> str:
    return ", ".join(f"{file.relative_to(folder)} ({graph.precision})" for file, graph in graphs)
