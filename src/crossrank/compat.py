"""Drop-ins for classes that people already use: sentence-transformers' `CrossEncoder`, and a reranker of dicts.

They know the scorer; nothing of sentence-transformers is imported.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrank.documents import as_documents
from crossrank.engine.open import OpenConfig, open_scorer
from crossrank.engine.pair import Pair
from crossrank.errors import ArgumentTypeError, MissingExtra, UsageError
from crossrank.reranker import Reranker

Activation = Callable[[Any], Any]


class CrossEncoder:
    """`sentence_transformers.CrossEncoder` in what applications use: the same numbers, truncating as it does.

    Args:
        model_name: a local folder or a name of the hub; None for the bundled model.
        max_length: tokens of a pair; by default what the model can read.
        device: None, "auto" or "cpu".
        activation_fn: from logits to scores, instead of the model's own. A torch module gets a tensor, any other
            callable a float32 array [n].
        revision: branch, tag or commit of a model on the hub.
    """

    def __init__(
        self,
        model_name: str | None = None,
        *,
        max_length: int | None = None,
        device: str | None = None,
        activation_fn: Activation | None = None,
        revision: str | None = None,
    ) -> None:
        self.activation_fn = activation_fn
        config = OpenConfig(
            None if model_name is None else str(model_name),
            device=device or "auto",
            max_length=max_length,
            long_documents="longest_first",
            cache=None,
            revision=revision,
        )
        self._scorer = open_scorer(config)
        self.max_length = self._scorer.encoder.config.max_length

    def predict(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
    ) -> Any:
        """Scores of pairs: a float32 array [n], or a tensor, or a list of floats; one number for a single pair.

        Args:
            inputs: a list of (query, document) pairs, or one pair.
            batch_size: accepted and checked; batches are planned by tokens here, which scores do not depend on.
            show_progress_bar: True shows one.
            activation_fn: as in the constructor, for this call.
            convert_to_numpy: an array; False gives a list of floats.
            convert_to_tensor: a torch tensor (needs torch).
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size must be a positive whole number, not {batch_size!r}")
        single = _is_single(inputs)
        pairs = [_pair(pair, i) for i, pair in enumerate([inputs] if single else inputs)]
        logits = self._logits(pairs, show_progress_bar=bool(show_progress_bar))
        scores: Any = self._activate(logits, activation_fn or self.activation_fn)
        if convert_to_tensor:
            scores = _torch().from_numpy(np.ascontiguousarray(scores))
        elif not convert_to_numpy:
            scores = [float(score) for score in scores]
        return scores[0] if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        *,
        return_documents: bool = False,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
    ) -> list[dict[str, Any]]:
        """`[{"corpus_id": i, "score": s}]`, best first, with the document as `text` when asked for."""
        scores = self.predict(
            [(query, document) for document in documents],
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
        )
        results: list[dict[str, Any]] = [{"corpus_id": i, "score": float(score)} for i, score in enumerate(scores)]
        if return_documents:
            for result in results:
                result["text"] = documents[result["corpus_id"]]
        return sorted(results, key=lambda result: -result["score"])[:top_k]

    def _logits(self, pairs: list[Pair], *, show_progress_bar: bool) -> NDArray[np.float32]:
        from tqdm.auto import tqdm

        logits: list[float] = []
        step = 512 if show_progress_bar else max(1, len(pairs))
        for start in tqdm(range(0, len(pairs), step), desc="Batches", disable=not show_progress_bar):
            outcome = self._scorer.score(pairs[start : start + step])
            logits += [outcome.results[pair].logit for pair in pairs[start : start + step]]
        return np.array(logits, np.float32)

    def _activate(self, logits: NDArray[np.float32], activation: Activation | None) -> NDArray[np.float32]:
        if activation is None:
            return self._scorer.activate(logits)
        torch = sys.modules.get("torch")  # a torch module can only be given by someone who has loaded torch
        if torch is not None and isinstance(activation, torch.nn.Module):
            call: Activation = activation.__call__
            return np.asarray(call(torch.from_numpy(logits)).detach().numpy(), np.float32)
        return np.asarray(activation(logits), np.float32)


class CrossEncoderReranker:
    """Reranks dicts with a `content`: `rerank(query, documents, top_k=10) -> [{**document, "score": float}]`."""

    def __init__(self, model_name: str | None = None, *, device: str | None = None) -> None:
        self._reranker = Reranker(model_name, device=device or "auto")

    def rerank(self, query: str, documents: Sequence[Mapping[str, Any]], top_k: int = 10) -> list[dict[str, Any]]:
        """New dicts, best first, at most `top_k`; the given ones are not changed."""
        ranking = self._reranker.rank(query, documents, top_k=top_k)
        if not all(isinstance(document, Mapping) for document in ranking.documents):
            raise ArgumentTypeError("documents must be dicts with a 'content'; for strings use Reranker().rank()")
        return ranking.to_dicts()


def _is_single(inputs: Any) -> bool:
    """Whether `inputs` is one pair rather than many, as sentence-transformers tells them apart."""
    if isinstance(inputs, np.ndarray):
        return inputs.size > 0 and inputs.ndim < 2
    if isinstance(inputs, str) or not isinstance(inputs, Iterable):
        raise ArgumentTypeError(f"inputs must be (query, document) pairs, not {type(inputs).__name__}")
    return isinstance(inputs, list | tuple) and len(inputs) > 0 and isinstance(inputs[0], str)


def _pair(pair: Any, index: int) -> Pair:
    items = pair.tolist() if isinstance(pair, np.ndarray) else pair
    if not isinstance(items, list | tuple) or len(items) != 2 or not isinstance(items[0], str):
        raise ArgumentTypeError(f"inputs[{index}] is {str(pair)[:60]!r}; each pair is (query, document)")
    return Pair(items[0], as_documents([items[1]])[0].text)


def _torch() -> Any:
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("convert_to_tensor needs torch. Run: pip install 'crossrank[torch]'") from exc
    return torch
