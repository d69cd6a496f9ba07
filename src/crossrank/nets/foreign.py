"""Any sequence classifier that transformers knows, padded, rows of about one length together.

It knows a checkpoint's folder; it runs no code from there, and reads no pickle.
"""

import inspect
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from crossrank.checkpoint.profile import ModelProfile
from crossrank.errors import CheckpointError, MissingExtra, UnsupportedModelError, WeightsError
from crossrank.nets.rows import Rows

NAMED_MAX = 12


class Foreign:
    """A model as transformers runs it."""

    kernel = "transformers, padded"

    def __init__(self, folder: Path, profile: ModelProfile, device: torch.device, dtype: torch.dtype) -> None:
        self._model = _load(folder, profile, dtype).to(device).eval()
        self._pad_id, self._labels = profile.pad_id, profile.labels
        accepted = inspect.signature(self._model.forward).parameters
        self._segments = profile.segments > 1 and "token_type_ids" in accepted

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, rows: Rows) -> Tensor:
        """Logits fp32 [rows, labels]."""
        logits = torch.empty(len(rows.lengths), self._labels, dtype=torch.float32, device=rows.ids.device)
        for bucket in rows.buckets[0]:
            valid = torch.ones_like(bucket.tokens, dtype=torch.bool) if bucket.valid is None else bucket.valid
            given = {
                "input_ids": rows.ids[bucket.tokens].masked_fill(~valid, self._pad_id).long(),
                "attention_mask": valid.long(),
            }
            if self._segments:
                given["token_type_ids"] = rows.segments[bucket.tokens].masked_fill(~valid, 0).long()
            logits[bucket.rows] = self._model(**given).logits.float()
        return logits


def _load(folder: Path, profile: ModelProfile, dtype: torch.dtype) -> torch.nn.Module:
    try:
        from transformers import AutoModelForSequenceClassification
    except ImportError as exc:
        raise MissingExtra(
            f"{profile.foreign_because}. transformers may know it, but is not installed. "
            "Run: pip install 'crossrank[torch]'"
        ) from exc
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no model.safetensors, and nothing else is read. Save it with transformers."
        )
    try:
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except (ValueError, KeyError, ImportError, StrictDataclassError) as exc:
        raise UnsupportedModelError(
            f"{profile.foreign_because}, and transformers cannot open it either: {exc}"
        ) from exc
    except (OSError, RuntimeError) as exc:
        raise CheckpointError(f"{folder} cannot be opened with transformers: {exc}. Download the model again.") from exc
    wrong = {kind: sorted(map(str, names)) for kind, names in loaded.items() if names}
    if wrong:
        listed = "; ".join(f"{kind}: {', '.join(names[:NAMED_MAX])}" for kind, names in wrong.items())
        raise WeightsError(
            f"The weights of {profile.name!r} do not fit a {profile.architecture}: {listed}. "
            "Use a checkpoint that was trained and saved as a reranker."
        )
    module: torch.nn.Module = model
    return module
