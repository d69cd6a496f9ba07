"""What transformers runs: any sequence classifier, and encoder-decoders that are asked; padded, by length.

It knows a checkpoint's folder; it runs no code from there, and reads no pickle.
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from crossrank.checkpoint.families import AnswerStep
from crossrank.checkpoint.profile import ModelProfile
from crossrank.errors import CheckpointError, MissingExtra, UnsupportedModelError, WeightsError
from crossrank.nets.rows import Rows

NAMED_MAX = 12
LAST, EMBEDDINGS = "lm_head.weight", "shared.weight"  # of an encoder-decoder


class Foreign:
    """A model as transformers runs it."""

    kernel = "transformers, padded"

    def __init__(self, folder: Path, profile: ModelProfile, device: torch.device, dtype: torch.dtype) -> None:
        model = _load(folder, profile, dtype)
        self._begins = _asked(model, folder, profile) if profile.answers is not None else None
        self._model = model.to(device).eval()
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
            if self._begins is not None:
                given["decoder_input_ids"] = torch.full_like(given["input_ids"][:, :1], self._begins)
            logits[bucket.rows] = self._model(**given).logits.float().flatten(1)
        return logits


def _asked(model: Any, folder: Path, profile: ModelProfile) -> int:
    """Leave of the last layer what tells the answers apart; the token that the decoder begins with."""
    step = profile.answers
    assert step is not None, "bug: there is no answer to look at"
    assert step.yes >= 0, "bug: the tokenizer was not asked for the answers' ids"
    rows, dtype = _last_layer(folder, profile, step), model.lm_head.weight.dtype
    kept = rows[step.yes] if step.no is None else rows[step.yes] - rows[step.no]
    model.lm_head = torch.nn.Linear(len(kept), 1, bias=False, dtype=dtype)
    model.lm_head.weight = torch.nn.Parameter(kept[None].to(dtype), requires_grad=False)
    begins = model.config.decoder_start_token_id
    if begins is None:
        raise CheckpointError(f"config.json of {profile.name!r} lacks decoder_start_token_id. Download it again.")
    return int(begins)


def _last_layer(folder: Path, profile: ModelProfile, step: AnswerStep) -> dict[int, Tensor]:
    """The rows of the answers, fp32, as they are stored: transformers would take the embeddings where they are not."""
    from safetensors import safe_open

    files = {name: file for file in sorted(folder.glob("*.safetensors")) for name in _names(file)}
    name = LAST if LAST in files or step.source else EMBEDDINGS
    if name not in files:
        raise WeightsError(
            f"The weights of {profile.name!r} do not fit a {profile.architecture}: missing {name}. Without its head "
            "the model would give random scores. Use a checkpoint that was trained and saved as a reranker."
        )
    with safe_open(files[name], framework="pt") as opened:
        stored = opened.get_slice(name)
        return {row: stored[row : row + 1][0].float() for row in (step.yes, step.no) if row is not None}


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _load(folder: Path, profile: ModelProfile, dtype: torch.dtype) -> torch.nn.Module:
    try:
        from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
    except ImportError as exc:
        raise MissingExtra(
            f"{profile.foreign_because}. transformers may know it, but is not installed. "
            "Run: pip install 'crossrank[torch]'"
        ) from exc
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no model.safetensors, and nothing else is read. Save it with transformers."
        )
    kind = AutoModelForSequenceClassification if profile.answers is None else AutoModelForSeq2SeqLM
    try:
        model, loaded = kind.from_pretrained(
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
