"""The loss: a weighted sum of terms over a matrix of logits, a row a query, a column a document.

All terms take logits float32 [queries, documents] and targets of that shape in which nan is unknown or padding. Each
gives a mean over whatever has what it needs: listwise and kl over queries; bce over documents, margin_mse and lambda
over pairs of documents, those of all queries together, so that longer lists count more. They know numbers only;
`ListLoss` knows the model.

Terms and where they are from:
    bce         binary cross-entropy of each document's logit with its label in 0..1
    listwise    cross-entropy of the softmax over a list with the labels' distribution (ListNet's top-one, Cao et al.
                2007; labels divided by their sum, so that one relevant document gives the usual softmax loss)
    lambda      LambdaLoss with NDCG-Loss2++ weights, mu = 10 (Wang et al. 2018)
    margin_mse  squared error of the teacher's margin between relevant and other documents (Hofstätter et al. 2020)
    kl          Kullback-Leibler divergence of the softmax over a list from the teacher's (Hinton et al. 2015)
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossrank.train.options import LossConfig

LAMBDA_MU = 10.0


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the documents that have a label."""
    known = ~labels.isnan()
    if not known.any():
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known])


def listwise(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the list's softmax with labels / sum of labels; lists without a relevant document count not."""
    known = ~labels.isnan()
    wanted = labels.nan_to_num(0.0)
    share = wanted / wanted.sum(dim=1, keepdim=True).clamp(min=1e-9)
    rows = (wanted > 0).any(dim=1)
    per_query = -(share * _log_softmax(logits, known)).sum(dim=1)
    return _mean(per_query, rows)


def kl(logits: Tensor, teacher: Tensor, *, scale: float = 1.0, temperature: float = 1.0) -> Tensor:
    """KL(teacher || model) of the softmax over each list.

    Args:
        logits: the model's.
        teacher: the teacher's scores.
        scale: what they are multiplied by first: 20 turns a cosine into something like a logit.
        temperature: what both are divided by; the term is multiplied by its square, as Hinton et al. do.
    """
    known = ~teacher.isnan()
    rows = known.sum(dim=1) > 1
    target = _log_softmax(teacher.nan_to_num(0.0) * (scale / temperature), known)
    model = _log_softmax(logits / temperature, known)
    per_query = (target.exp() * (target - model)).sum(dim=1)
    return _mean(per_query, rows) * temperature**2


def margin_mse(logits: Tensor, teacher: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mean squared error of margins between the first document of each list and the others.

    Lists put relevant documents first; where that is not so, the margin is as true.
    """
    known = ~teacher.isnan() & ~teacher[:, :1].isnan()
    known[:, 0] = False
    wanted = (teacher[:, :1] - teacher).nan_to_num(0.0) * scale
    squared = (logits[:, :1] - logits - wanted) ** 2
    return squared[known].mean() if known.any() else logits.sum() * 0


def lambda_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """LambdaLoss, NDCG-Loss2++: -log2 sigmoid of score differences, weighted by what swapping would do to nDCG."""
    known = ~labels.isnan()
    order = torch.where(known, logits.detach(), -torch.inf).argsort(dim=1, descending=True)
    scores, grades = logits.gather(1, order), labels.gather(1, order)
    known = known.gather(1, order)
    places = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    discount = torch.log2(1.0 + places)
    ideal = labels.nan_to_num(0.0).sort(dim=1, descending=True).values
    best = ((2**ideal - 1) / discount).sum(dim=1, keepdim=True).clamp(min=1e-10)
    gain = (2 ** grades.nan_to_num(0.0) - 1) / best
    apart = (places[:, None] - places[None, :]).abs()
    # Loss2's weight depends on the distance of two places, LambdaRank's on the places themselves.
    distance = (1 / torch.log2(1.0 + apart.clamp(min=1)) - 1 / torch.log2(2.0 + apart)).masked_fill(apart == 0, 0.0)
    swap = (1 / discount[:, None] - 1 / discount[None, :]).abs()
    weight = (LAMBDA_MU * distance + swap) * (gain[:, :, None] - gain[:, None, :]).abs()
    above = known[:, :, None] & known[:, None, :] & (grades[:, :, None] > grades[:, None, :])
    if not above.any():
        return logits.sum() * 0
    losses = functional.logsigmoid(scores[:, :, None] - scores[:, None, :]) / -math.log(2)
    return (weight * losses)[above].mean()


def combined(logits: Tensor, targets: Tensor, losses: Sequence[LossConfig], teachers: Sequence[str]) -> Tensor:
    """The weighted sum of terms.

    Args:
        logits: float32 [queries, documents].
        targets: float32 [queries, 1 + teachers, documents]: labels, then scores by teacher; nan is unknown or padding.
        losses: the terms.
        teachers: names, in the order of the rows.
    """
    labels = targets[:, 0]
    total = logits.new_zeros(())
    for loss in losses:
        teacher = labels if loss.teacher is None else targets[:, 1 + teachers.index(loss.teacher)]
        if loss.kind == "bce":
            term = bce(logits, labels)
        elif loss.kind == "listwise":
            term = listwise(logits, labels)
        elif loss.kind == "lambda":
            term = lambda_loss(logits, labels)
        elif loss.kind == "margin_mse":
            term = margin_mse(logits, teacher, scale=loss.scale)
        else:
            term = kl(logits, teacher, scale=loss.scale, temperature=loss.temperature)
        total = total + loss.weight * term
    return total


class ListLoss(nn.Module):  # type: ignore[misc] # torch is not typed here
    """Runs lists of documents through a CrossEncoder and gives the combined loss; the trainer calls it.

    Args:
        model: a sentence_transformers.CrossEncoder with one label.
        losses: the terms.
        teachers: names, in the order of the rows of the targets.
        pairs_per_forward: pairs that go through the model at a time, shortest first; 0 is all. Padding is what is
            saved: a forward pass is as long as its longest pair.
    """

    def __init__(
        self, model: Any, losses: Sequence[LossConfig], teachers: Sequence[str], *, pairs_per_forward: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self._losses, self._teachers, self._at_once = tuple(losses), tuple(teachers), pairs_per_forward

    def forward(self, inputs: list[Any], labels: list[Tensor], **_: Any) -> Tensor:
        """The loss of a step.

        Args:
            inputs: queries [n] and their documents [n][documents].
            labels: by query, targets float32 [1 + teachers, documents].
        """
        queries, lists = inputs
        pairs = [(query, document) for query, documents in zip(queries, lists, strict=True) for document in documents]
        flat = self._logits(pairs)
        width = max(map(len, lists))
        rows = [
            functional.pad(row, (0, width - len(row))) for row in flat.split([len(documents) for documents in lists])
        ]
        targets = [functional.pad(target.float(), (0, width - target.shape[1]), value=math.nan) for target in labels]
        return combined(torch.stack(rows), torch.stack(targets).to(flat.device), self._losses, self._teachers)

    def _logits(self, pairs: list[tuple[str, str]]) -> Tensor:
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][0]) + len(pairs[place][1]))
        at_once = self._at_once or len(pairs)
        parts = []
        for start in range(0, len(order), at_once):
            features = self.model.preprocess([pairs[place] for place in order[start : start + at_once]])
            features = {
                name: value.to(self.model.device) if isinstance(value, Tensor) else value
                for name, value in features.items()
            }
            parts.append(self.model(features)["scores"].view(-1).float())
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back.to(parts[0].device)]


def _log_softmax(logits: Tensor, known: Tensor) -> Tensor:
    """Log softmax over the known columns; 0 elsewhere, so that products with 0 stay finite."""
    floor = torch.finfo(logits.dtype).min
    return functional.log_softmax(logits.masked_fill(~known, floor), dim=1).masked_fill(~known, 0.0)


def _mean(per_query: Tensor, rows: Tensor) -> Tensor:
    return per_query[rows].mean() if rows.any() else per_query.sum() * 0
