"""Each term of the loss is what sentence-transformers, torch or the formula in numpy give; padding never counts."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from sentence_transformers.cross_encoder import losses as reference  # noqa: E402

from crossrank.train.losses import bce, combined, kl, lambda_loss, listwise, margin_mse  # noqa: E402
from crossrank.train.options import LossConfig  # noqa: E402

NAN = math.nan


class Given(torch.nn.Module):
    """Stands for a CrossEncoder whose logits are chosen."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = iter(logits)

    def preprocess(self, pairs, **_):
        return {"count": torch.tensor(len(pairs))}

    def forward(self, features):
        return {"scores": torch.tensor([next(self.logits) for _ in range(int(features["count"]))])}


def lists(seed: int, *sizes: int) -> tuple[list[list[float]], list[list[float]]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 2, size).tolist() for size in sizes], [rng.integers(0, 4, size).tolist() for size in sizes]


def padded(rows: list[list[float]], fill: float) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.float32)


def reference_loss(kind, logits, labels, **options):
    texts = [["d"] * len(row) for row in logits]
    model = Given([value for row in logits for value in row])
    return kind(model, **options)(
        [["q"] * len(texts), texts], [torch.tensor(row, dtype=torch.float32) for row in labels]
    )


@pytest.mark.parametrize("seed", range(5))
def test_lambda_is_sentence_transformers_lambda_loss(seed: int) -> None:
    logits, grades = lists(seed, 5, 3, 7)
    ours = lambda_loss(padded(logits, 0.0), padded(grades, NAN))
    assert ours.item() == pytest.approx(reference_loss(reference.LambdaLoss, logits, grades).item(), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_listwise_is_list_net_on_the_labels_logarithm(seed: int) -> None:
    logits, grades = lists(seed, 5, 3, 7)
    grades = [[1, *row[1:]] for row in grades]
    logs = [[math.log(grade) if grade else -1e9 for grade in row] for row in grades]
    ours = listwise(padded(logits, 0.0), padded(grades, NAN))
    assert ours.item() == pytest.approx(reference_loss(reference.ListNetLoss, logits, logs).item(), rel=1e-5)


def test_bce_is_the_mean_over_documents_with_a_label() -> None:
    logits, labels = padded([[2.0, -1.0], [0.5]], 9.0), padded([[1.0, 0.0], [0.3]], NAN)
    expected = np.mean([math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(0.5)) - 0.3 * 0.5])
    assert bce(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_margin_mse_is_sentence_transformers() -> None:
    rng = np.random.default_rng(3)
    logits, teacher = (torch.tensor(rng.normal(0, 2, (4, 3)), dtype=torch.float32) for _ in range(2))
    model = Given(logits.T.reshape(-1).tolist())
    texts = [["q"] * 4, *[["d"] * 4 for _ in range(3)]]
    theirs = reference.MarginMSELoss.__new__(reference.MarginMSELoss)  # its __init__ takes real CrossEncoders only
    torch.nn.Module.__init__(theirs)
    theirs.model, theirs.activation_fn, theirs.loss_fct = model, torch.nn.Identity(), torch.nn.MSELoss()
    expected = theirs(texts, list(teacher))
    assert margin_mse(logits, teacher).item() == pytest.approx(expected.item(), rel=1e-5)
    assert margin_mse(logits, teacher / 7, scale=7).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kl_is_the_formula(temperature: float) -> None:
    rng = np.random.default_rng(4)
    logits, teacher = rng.normal(0, 2, 5), rng.uniform(-1, 1, 5)
    p = np.exp(20 * teacher / temperature) / np.exp(20 * teacher / temperature).sum()
    q = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    expected = temperature**2 * (p * np.log(p / q)).sum()
    # Two more columns of padding, and a list of one document, which has no order to learn.
    rows = padded([[*logits.tolist(), 5.0, 5.0], [1.0]], 3.0)
    wanted = padded([[*teacher.tolist(), NAN, NAN], [0.4]], NAN)
    assert kl(rows, wanted, scale=20, temperature=temperature).item() == pytest.approx(expected, rel=1e-4)


def test_padding_has_no_gradient_and_terms_add_up() -> None:
    same = torch.Generator().manual_seed(5)  # in whatever order tests run
    logits = torch.randn(3, 5, generator=same, requires_grad=True)
    targets = torch.rand(3, 2, 5, generator=same)
    targets[:, 0] = (targets[:, 0] > 0.7).float()
    targets[0, :, 3:] = NAN
    terms = [
        LossConfig(kind="kl", teacher="t", scale=20),
        LossConfig(kind="listwise", weight=0.25),
        LossConfig(kind="bce", weight=0.5),
        LossConfig(kind="margin_mse", teacher="t", weight=2),
        LossConfig(kind="lambda"),
    ]
    total = combined(logits, targets, terms, ["t"])
    total.backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0, 3:] == 0).all()
    parts = sum(combined(logits, targets, [term], ["t"]) for term in terms)
    assert total.item() == pytest.approx(parts.item(), rel=1e-6)


def test_unknown_labels_and_teachers_give_nothing_rather_than_nan() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(5), requires_grad=True)
    unknown = torch.full((2, 2, 3), NAN)
    terms = [LossConfig(kind=kind) for kind in ("bce", "listwise", "lambda")]
    terms += [LossConfig(kind=kind, teacher="t") for kind in ("kl", "margin_mse")]
    total = combined(logits, unknown, terms, ["t"])
    total.backward()
    assert total.item() == 0
    assert (logits.grad == 0).all()
