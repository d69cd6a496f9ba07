"""How each library is held to an instruction set: variables for its process.

ONNX Runtime has no switch: its kernels (MLAS) look at the processor only, and OpenVINO computes fp32 with the same.
Tiles are taken from them (and, to be sure, from all) by `runners.tiles`; AVX-512 cannot be, so
under avx2 these peers are marked, and none counts as the best.
"""

from peers.catalog import PEERS

FORCED: dict[str, dict[str, str]] = {
    "avx512": {
        "CROSSRANK_ISA": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16",
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
    "avx2": {
        "CROSSRANK_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2_VNNI",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


def held(peer: str, isa: str | None) -> bool:
    """Whether the peer can be held to an instruction set."""
    spec = PEERS[peer]
    mlas = spec.runner == "ort" or spec.options.get("backend") == "onnx"
    openvino = spec.runner == "ov" or spec.options.get("backend") == "openvino"
    return isa != "avx2" or not (mlas or (openvino and spec.precision != "int8"))
