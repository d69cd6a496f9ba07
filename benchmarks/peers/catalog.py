"""Who is compared: the peers, the environment each runs in, the files exported for them. Versions are pinned.

It knows names and versions; not how anything is installed, run or timed.

`sentence-transformers[onnx]` pins transformers < 4.58 (optimum-onnx 0.1.0), which version 6 does not take: 5.7.0 is
the last that installs with it. `sentence-transformers[openvino]` 6.2.0 installs, with transformers 5.5.4 (optimum-intel
2.2.0).
"""

from dataclasses import dataclass, field
from typing import Any

# NOTE: the local version label keeps pip from ever taking the gigabytes of the CUDA build; where the wheel is not at
# hand, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu has it.
TORCH = "torch==2.13.0+cpu"

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "ours": (),  # the interpreter that runs the benchmark
    "st": (TORCH, "sentence-transformers==6.2.0", "transformers==5.23.0", "tokenizers==0.23.3", "numpy==2.4.6"),
    "st-onnx": (
        TORCH,
        "sentence-transformers[onnx]==5.7.0",
        "optimum-onnx[onnxruntime]==0.1.0",
        "optimum==2.1.0",
        "transformers==4.57.6",
        "onnxruntime==1.31.1",
        "onnx==1.23.2",
        "numpy==2.4.6",
    ),
    "st-openvino": (
        TORCH,
        "sentence-transformers[openvino]==6.2.0",
        "optimum-intel==2.2.0",
        "optimum==2.3.0",
        "transformers==5.5.4",
        "openvino==2026.4.1",
        "nncf==3.4.0",
        "numpy==2.4.6",
    ),
    "fastapi": (
        TORCH,
        "sentence-transformers==6.2.0",
        "transformers==5.23.0",
        "tokenizers==0.23.3",
        "numpy==2.4.6",
        "fastapi",
        "uvicorn==0.54.0",
    ),
    # Quiet since 2025: its own extras pull in what its code no longer runs with.
    # Quiet since 2025, so held to what there was then.
    "infinity": (
        TORCH,
        "infinity_emb[server]==0.0.77",
        "sentence-transformers<4",
        "transformers<4.50",
        "optimum<1.25",
        "numpy<2",
        "einops",
        "click<8.2",
    ),
    "onnxruntime": ("onnxruntime==1.31.1", "onnx==1.23.2", "tokenizers==0.23.3", "numpy==2.4.6"),
    "openvino": ("openvino==2026.4.1", "nncf==3.4.0", "tokenizers==0.23.3", "numpy==2.4.6"),
}

# Taken out again after installing: it comes with optimum-intel, built for CUDA, and breaks the import of transformers.
UNWANTED: dict[str, tuple[str, ...]] = {"st-openvino": ("torchvision",)}


@dataclass(frozen=True, slots=True)
class Export:
    """A model file made once, kept beside the environments: by `exports.py <name>` in an environment.

    Attributes:
        environment: the one that makes it.
        needs: another export that it is made from.
    """

    environment: str
    needs: str | None = None


EXPORTS = {
    "onnx": Export("st-onnx"),
    "onnx-int8": Export("onnxruntime", needs="onnx"),
    "openvino-int8": Export("openvino", needs="onnx"),
    "st-onnx": Export("st-onnx"),
    "st-openvino": Export("st-openvino"),
}


@dataclass(frozen=True, slots=True)
class Peer:
    """One way of scoring pairs.

    Attributes:
        environment: a key of ENVIRONMENTS.
        runner: a module of `runners`.
        precision: "fp32", "bf16" or "int8": what most of its arithmetic is done in.
        what: for tables.
        options: what the runner is given besides the model and the threads.
        export: the key of EXPORTS whose folder it is given.
    """

    environment: str
    runner: str
    precision: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)
    export: str | None = None


OURS = {f"crossrank-{precision}": precision for precision in ("fp32", "bf16", "int8")}
IN_README = (
    *OURS,
    "openvino-bf16",
    "st-openvino",
    "openvino-int8",
    "ort-int8-sorted",
    "st-bf16-best",
    "ort-int8",
    "ort-fp32",
    "st-fp32-best",
    "st-fp32",
)
AS_IT_COMES = "st-fp32"  # also the fp32 reference that logits are compared with

PEERS: dict[str, Peer] = {
    **{
        name: Peer("ours", "ours", precision, f"crossrank {precision}", {"precision": precision})
        for name, precision in OURS.items()
    },
    AS_IT_COMES: Peer("st", "st", "fp32", "sentence-transformers fp32, as it comes", {"tune": False}),
    "st-fp32-best": Peer("st", "st", "fp32", "sentence-transformers fp32, best batch size"),
    "st-bf16-best": Peer("st", "st", "bf16", "sentence-transformers bf16, best batch size", {"dtype": "bfloat16"}),
    "st-onnx": Peer(
        "st-onnx", "st", "fp32", "sentence-transformers, ONNX backend", {"backend": "onnx"}, export="st-onnx"
    ),
    "st-onnx-int8": Peer(
        "st-onnx",
        "st",
        "int8",
        "sentence-transformers, ONNX backend, dynamic int8",
        {"backend": "onnx", "file": "onnx/model_qint8_avx512_vnni.onnx"},
        export="st-onnx",
    ),
    "st-openvino": Peer(
        "st-openvino",
        "st",
        "bf16",  # what OpenVINO itself takes where the processor has it; the runner says what it was
        "sentence-transformers, OpenVINO backend, as it comes",
        {"backend": "openvino", "file": "openvino/openvino_model.xml"},
        export="st-openvino",
    ),
    "st-openvino-int8": Peer(
        "st-openvino",
        "st",
        "int8",
        "sentence-transformers, OpenVINO backend, static int8 (nncf)",
        {"backend": "openvino", "file": "openvino/openvino_model_qint8_quantized.xml"},
        export="st-openvino",
    ),
    "ort-fp32": Peer(
        "onnxruntime", "ort", "fp32", "ONNX Runtime fp32, sorted token-budget batches", {"sort": True}, export="onnx"
    ),
    "ort-int8": Peer(
        "onnxruntime",
        "ort",
        "int8",
        "ONNX Runtime dynamic int8, padded batches (as FlashRank and fastembed)",
        {"sort": False},
        export="onnx-int8",
    ),
    "ort-int8-sorted": Peer(
        "onnxruntime",
        "ort",
        "int8",
        "ONNX Runtime dynamic int8, sorted token-budget batches",
        {"sort": True},
        export="onnx-int8",
    ),
    **{
        f"openvino-{precision}": Peer(
            "openvino",
            "ov",
            precision,
            f"OpenVINO {precision}, sorted token-budget batches",
            {"hint": hint},
            export="openvino-int8" if precision == "int8" else "onnx",
        )
        for precision, hint in (("fp32", "f32"), ("bf16", "bf16"), ("int8", None))
    },
    "torch-compile-fp32": Peer("st", "packed", "fp32", "torch.compile fp32, packed sequences", {"dtype": "float32"}),
    "torch-compile-bf16": Peer("st", "packed", "bf16", "torch.compile bf16, packed sequences", {"dtype": "bfloat16"}),
}
