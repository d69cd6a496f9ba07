"""OpenVINO with tokenizers and nothing between: length-sorted token-budget batches, in one stream or one a thread."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from runners.batches import Tokens, padded, sorted_within


class Runner:
    """A compiled model; tuned over the tokens of a batch and the number of streams."""

    def __init__(self, options: dict[str, Any]) -> None:
        folder = Path(options["folder"])
        self._core = openvino.Core()
        self._model = self._core.read_model(folder / ("model.xml" if (folder / "model.xml").exists() else "model.onnx"))
        self._inputs = [port.get_any_name() for port in self._model.inputs]
        self._tokens = Tokens(options["folder"])
        self._threads, self._hint = options["threads"], options["hint"]
        if options["isa"] == "avx2" and self._hint is None:
            self._hint = "f32"  # else it takes bf16 by looking at the processor, and oneDNN then has no product for it
        streams = [1] if self._threads == 1 else [1, self._threads]
        self.settings = [[budget, count] for budget in options["token_budgets"] for count in streams]
        self._budget, self._streams = 0, 0
        self.use(self.settings[-1])
        hint = str(self._compiled.get_property("INFERENCE_PRECISION_HINT"))
        self.precision = "int8" if options["hint"] is None else ("bf16" if "bf" in hint else "fp32")
        self.detail = f"openvino {openvino.__version__.split('-')[0]}"

    def use(self, setting: list[int]) -> None:
        """Take [tokens of a batch, streams]."""
        self._budget, streams = setting
        if streams == self._streams:
            return
        self._streams = streams
        config: dict[str, Any] = {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": self._threads}
        if self._hint is not None:
            config["INFERENCE_PRECISION_HINT"] = self._hint
        self._compiled = self._core.compile_model(self._model, "CPU", config)
        self._queue = openvino.AsyncInferQueue(self._compiled, streams)
        self._queue.set_callback(self._keep)

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        rows = self._tokens.rows(pairs)
        self._logits = np.empty(len(rows), np.float32)
        for chosen in sorted_within(rows, self._budget):
            arrays = padded(rows, chosen)
            self._queue.start_async({name: arrays[name] for name in self._inputs}, chosen)
        self._queue.wait_all()
        return self._logits

    def _keep(self, request: Any, chosen: list[int]) -> None:
        self._logits[chosen] = request.get_output_tensor(0).data[:, 0]
