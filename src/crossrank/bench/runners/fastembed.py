"""fastembed's cross-encoder with a model that it has downloaded before."""

from importlib.metadata import version
from typing import Any

from fastembed.rerank.cross_encoder import TextCrossEncoder


class Runner:
    """`rerank`, as it comes; its ONNX files are its own, whatever else is measured."""

    precision, device = "fp32", "cpu"

    def __init__(self, options: dict[str, Any]) -> None:
        self._encoder = TextCrossEncoder(model_name=options["model"], threads=options["threads"], local_files_only=True)
        self.detail = version("fastembed")

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Scores in the order of the pairs, which share their query."""
        return list(self._encoder.rerank(pairs[0][0], [document for _, document in pairs]))
