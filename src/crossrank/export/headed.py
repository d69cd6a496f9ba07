"""A transformer of transformers' with the profile's head behind it: chains of modules, models that are asked.

It knows torch and profiles; not files, graphs or engines.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from crossrank.checkpoint.families import AnswerStep, HeadStep, NormStep, Pooling
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import Tensor as Stored
from crossrank.checkpoint.weights import as_fp32

ACTIVATIONS: Mapping[str, type[torch.nn.Module]] = {
    "none": torch.nn.Identity,
    "gelu": torch.nn.GELU,
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
}


class Headed(torch.nn.Module):  # type: ignore[misc]
    """What `body` makes of the tokens, pooled, and through the head.

    Args:
        body: gives last_hidden_state.
        profile: of the model.
        weights: by canonical name; only the head's are looked at.
    """

    def __init__(self, body: torch.nn.Module, profile: ModelProfile, weights: Mapping[str, Stored]) -> None:
        super().__init__()
        self.body, self.pooling = body, profile.pooling
        columns = profile.hidden
        steps: list[torch.nn.Module] = []
        for i, step in enumerate(profile.head):
            named = {kind: weights[f"head.{i}.{kind}"] for kind in ("weight", "bias") if f"head.{i}.{kind}" in weights}
            layer = _layer(step, columns)
            layer.load_state_dict({kind: torch.from_numpy(as_fp32(stored)) for kind, stored in named.items()})
            steps.append(layer)
            if not isinstance(step, AnswerStep | NormStep):
                steps.append(ACTIVATIONS[step.activation]())
                columns = step.out
        self.steps = torch.nn.Sequential(*steps)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits [rows, labels]."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, **given).last_hidden_state
        logits: Tensor = self.steps(pooled(hidden, attention_mask, self.pooling))
        return logits


def pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector a row, [rows, columns], of hidden [rows, tokens, columns] with padding at the end."""
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "mean":
        kept = mask[:, :, None].to(hidden.dtype)
        return (hidden * kept).sum(1) / kept.sum(1)
    last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, hidden.shape[-1])
    return hidden.gather(1, last)[:, 0]


def _layer(step: HeadStep, columns: int) -> torch.nn.Module:
    if isinstance(step, NormStep):
        return torch.nn.LayerNorm(columns, eps=step.eps, bias=step.bias)
    if isinstance(step, AnswerStep):
        return torch.nn.Linear(columns, 1, bias=False)
    return torch.nn.Linear(columns, step.out, bias=step.bias)
