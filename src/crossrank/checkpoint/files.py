"""Which files make a model: what is fetched of a repository, and what counts of a folder. It knows names only."""

from pathlib import Path

WANTED = (  # nothing else is fetched: no pickles, no copies of the weights in other formats, no code
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "[0-9]*_*/config.json",  # the modules of sentence-transformers: 1_Pooling, 2_Dense
    "[0-9]*_*/model.safetensors",
)
ENDINGS = (".onnx", ".onnx_data", ".onnx.data")
PLACES = ("", "onnx/")
# As exporters call the model itself; where there is none of that name, any, in all precisions.
ONNX_FIRST = tuple(f"{place}model{ending}" for place in PLACES for ending in ENDINGS)
ONNX_WANTED = tuple(f"{place}*{ending}" for place in PLACES for ending in ENDINGS)


def model_files(folder: Path, *, onnx: bool) -> list[Path]:
    """The files of a folder that belong to a model, in one order; with `onnx`, its ONNX files too.

    What else lies there, a calibration or a model card, changes nothing of a score.
    """
    patterns = (*WANTED, *ONNX_WANTED) if onnx else WANTED
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})
