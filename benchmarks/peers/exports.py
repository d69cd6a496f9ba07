"""Makes a model file: `exports.py NAME MODEL SOURCE TARGET CALIBRATION`, in the environment that catalog.EXPORTS names.

MODEL is the checkpoint's folder, SOURCE that of the export this one is made from, CALIBRATION a file of JSON pairs.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

CALIBRATION_TOKENS_MAX = 384  # as sentence-transformers does


def onnx(_: Path, source: Path, target: Path, __: Path) -> None:
    """fp32, by optimum, with the tokenizer beside it."""
    from optimum.onnxruntime import ORTModelForSequenceClassification

    ORTModelForSequenceClassification.from_pretrained(source, export=True).save_pretrained(target)
    shutil.copy(source / "tokenizer.json", target)


def onnx_int8(_: Path, source: Path, target: Path, __: Path) -> None:
    """Weights int8 per channel, activations when they come: what FlashRank and fastembed serve."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source / "model.onnx", target / "model.onnx", per_channel=True, weight_type=QuantType.QInt8, reduce_range=False
    )
    shutil.copy(source / "tokenizer.json", target)


def openvino_int8(_: Path, source: Path, target: Path, calibration: Path) -> None:
    """Weights and activations int8, calibrated on real pairs."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source / "model.onnx")
    openvino.save_model(_calibrated(nncf, model, source / "tokenizer.json", calibration), target / "model.xml")
    shutil.copy(source / "tokenizer.json", target)


def st_onnx(_: Path, source: Path, target: Path, __: Path) -> None:
    """sentence-transformers' own ONNX export and its dynamic int8 one."""
    from sentence_transformers import CrossEncoder, export_dynamic_quantized_onnx_model

    CrossEncoder(str(source), backend="onnx", device="cpu").save_pretrained(str(target))
    model = CrossEncoder(str(target), backend="onnx", device="cpu", model_kwargs={"file_name": "onnx/model.onnx"})
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(target))


def st_openvino(_: Path, source: Path, target: Path, calibration: Path) -> None:
    """sentence-transformers' own OpenVINO export, and int8 as its static export makes it.

    Its `export_static_quantized_openvino_model` calibrates on a set of the hub only, so nncf is called directly.
    """
    import nncf
    import openvino
    from sentence_transformers import CrossEncoder

    CrossEncoder(str(source), backend="openvino", device="cpu").save_pretrained(str(target))
    folder = target / "openvino"
    model = openvino.Core().read_model(folder / "openvino_model.xml")
    quantized = _calibrated(nncf, model, source / "tokenizer.json", calibration)
    openvino.save_model(quantized, folder / "openvino_model_qint8_quantized.xml")


def _calibrated(nncf: Any, model: Any, tokenizer_file: Path, calibration: Path) -> Any:
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(CALIBRATION_TOKENS_MAX)
    rows = tokenizer.encode_batch([tuple(pair) for pair in json.loads(calibration.read_text())])
    names = [port.get_any_name() for port in model.inputs]
    columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    inputs = [{name: np.array([getattr(row, columns[name])], np.int64) for name in names} for row in rows]
    return nncf.quantize(
        model,
        nncf.Dataset(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(inputs),
        fast_bias_correction=True,
    )


if __name__ == "__main__":
    name, *paths = sys.argv[1:]
    globals()[name.replace("-", "_")](*(Path(path) for path in paths))
