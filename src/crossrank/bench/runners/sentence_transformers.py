"""sentence-transformers' CrossEncoder, its batch size tuned."""

from importlib.metadata import version
from typing import Any

import torch
from sentence_transformers import CrossEncoder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH_SIZES = {"cpu": [8, 16, 32], "cuda": [32, 64, 128, 256]}


class Runner:
    """`predict` on a folder or a name of the hub."""

    def __init__(self, options: dict[str, Any]) -> None:
        if options["threads"]:
            torch.set_num_threads(options["threads"])
        self.precision = options["precision"]
        self._model = CrossEncoder(
            options["model"],
            device=options["device"],
            model_kwargs={"dtype": DTYPES[self.precision]},
        )
        self.device = str(self._model.device)
        self.settings = BATCH_SIZES["cuda" if self.device.startswith("cuda") else "cpu"]
        self._batch_size = 32
        self.detail = f"{version('sentence-transformers')}, transformers {version('transformers')}"

    def use(self, setting: int) -> None:
        """Take a batch size."""
        self._batch_size = setting

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        return self._model.predict(
            pairs, batch_size=self._batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )

    def told(self, pairs: list[tuple[str, str]]) -> dict[str, int]:
        """Tokens of the pairs, without padding; and the most GPU memory so far."""
        rows = self._model.tokenizer(
            [query for query, _ in pairs], [document for _, document in pairs], truncation=True
        )
        gpu = {}
        if self.device.startswith("cuda"):
            gpu["gpu_peak_bytes"] = torch.cuda.max_memory_allocated(self.device)
        return {"tokens": sum(map(len, rows["input_ids"])), **gpu}
