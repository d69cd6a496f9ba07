"""ONNX Runtime with tokenizers and nothing between: padded batches as FlashRank and fastembed do, or sorted ones."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from runners.batches import Tokens, in_order, padded, sorted_within


class Runner:
    """A session; tuned over the batch size, or the tokens of a batch where it sorts."""

    def __init__(self, options: dict[str, Any]) -> None:
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = options["threads"]
        session.inter_op_num_threads = 1
        folder = Path(options["folder"])
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", session, providers=["CPUExecutionProvider"])
        self._inputs = [port.name for port in self._session.get_inputs()]
        self._tokens = Tokens(options["folder"])
        self._cut = sorted_within if options["sort"] else in_order
        self.settings = options["token_budgets"] if options["sort"] else options["batch_sizes"]
        self._setting = self.settings[-1]
        self.precision = "int8" if "int8" in folder.name else "fp32"
        self.detail = f"onnxruntime {onnxruntime.__version__}"

    def use(self, setting: int) -> None:
        """Take a batch size, or a number of tokens."""
        self._setting = setting

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        rows = self._tokens.rows(pairs)
        logits = np.empty(len(rows), np.float32)
        for chosen in self._cut(rows, self._setting):
            arrays = padded(rows, chosen)
            logits[chosen] = self._session.run(None, {name: arrays[name] for name in self._inputs})[0][:, 0]
        return logits
