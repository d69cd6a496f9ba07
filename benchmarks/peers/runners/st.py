"""sentence-transformers' CrossEncoder with any of its backends."""

from importlib.metadata import version
from typing import Any

import torch
from sentence_transformers import CrossEncoder

AS_IT_COMES = 32


class Runner:
    """`predict`; tuned over its batch size unless "tune" is false."""

    def __init__(self, options: dict[str, Any]) -> None:
        threads, backend = options["threads"], options.get("backend", "torch")
        torch.set_num_threads(threads)
        dtype = options.get("dtype", "float32")
        kwargs: dict[str, Any] = {"dtype": getattr(torch, dtype)}
        self.precision = {"float32": "fp32", "bfloat16": "bf16"}[dtype]
        packages = ["sentence-transformers", "transformers"]
        if backend == "onnx":
            import onnxruntime

            session = onnxruntime.SessionOptions()
            session.intra_op_num_threads = threads
            kwargs = {"file_name": options.get("file", "onnx/model.onnx"), "session_options": session}
            kwargs["provider"] = "CPUExecutionProvider"
            packages.append("onnxruntime")
        if backend == "openvino":
            # One stream of all threads is what its default, the latency hint, gives; only the count is ours.
            kwargs = {"file_name": options["file"], "ov_config": {"INFERENCE_NUM_THREADS": str(threads)}}
            if options["isa"] == "avx2":
                kwargs["ov_config"]["INFERENCE_PRECISION_HINT"] = "f32"  # see ov.py
            packages.append("openvino")
        self._model = CrossEncoder(
            options["folder"] or options["model"], device="cpu", backend=backend, model_kwargs=kwargs
        )
        self.settings = options["batch_sizes"] if options.get("tune", True) else []
        self._batch_size = AS_IT_COMES
        self.detail = ", ".join(f"{package} {version(package)}" for package in packages)
        if "int8" in options.get("file", ""):
            self.precision = "int8"
        elif backend == "openvino":
            hint = str(self._compiled().get_property("INFERENCE_PRECISION_HINT"))
            self.precision = "bf16" if "bf" in hint else "fp32"

    def use(self, setting: int) -> None:
        """Take a batch size."""
        self._batch_size = setting

    def score(self, pairs: list[tuple[str, str]]) -> Any:
        """Logits of (query, document) pairs."""
        return self._model.predict(
            pairs, batch_size=self._batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )

    def _compiled(self) -> Any:
        """OpenVINO's compiled model, which optimum keeps as `request` or, in older versions, makes requests from."""
        model = self._model[0].auto_model
        model.compile()
        return getattr(model.request, "get_compiled_model", lambda: model.request)()
