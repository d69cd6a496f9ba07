"""Drop-ins for classes that people already use: sentence-transformers' `CrossEncoder`, and a reranker of dicts.

They know the engine; nothing of sentence-transformers is imported.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import check_iterable, check_model
from crossrank.documents import text_of
from crossrank.engine.open import OpenConfig, checked_length, open_scorer
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.errors import ArgumentTypeError, DocumentError, MissingExtra, UnsupportedModelError, UsageError
from crossrank.reranker import Reranker
from crossrank.schedule import Scheduler

Activation = Callable[[Any], Any]


class CrossEncoder:
    """`sentence_transformers.CrossEncoder` in what applications use: the same numbers, truncating as it does.

    Args:
        model_name: a local folder or a name of the hub; None for the bundled model.
        max_length: tokens of a pair; by default what the model can read.
        device: None (as "auto"), "cpu", "cuda", "cuda:N" or "mps".
        precision: "fp32" gives the original's numbers to 1e-4; for the others, "auto" among them, see `Reranker`.
        activation_fn: from logits to scores, instead of the model's own. It gets a tensor [n] where torch is loaded, as
            from sentence-transformers, else a float32 array [n].
        revision: branch, tag or commit of a model on the hub.
        allow_unverified: as for `Reranker`; nothing here runs a checkpoint's code, as trust_remote_code would.
    """

    def __init__(
        self,
        model_name: str | PathLike[str] | None = None,
        *,
        max_length: int | None = None,
        device: str | None = None,
        precision: str = "fp32",
        activation_fn: Activation | None = None,
        revision: str | None = None,
        allow_unverified: bool = False,
    ) -> None:
        self.activation_fn = activation_fn
        config = OpenConfig(
            check_model(model_name),
            device=device or "auto",
            precision=precision,
            max_length=max_length,
            cache=None,
            revision=revision,
            allow_unverified=allow_unverified,
            cut_query=True,
        )
        self._open(config)

    def _open(self, config: OpenConfig) -> None:
        self._config = config
        self._engine = Scheduler(open_scorer(config))
        profile = self._scorer.profile
        if profile.labels != 1:
            raise UnsupportedModelError(
                f"{profile.name!r} has {profile.labels} labels, for which sentence-transformers gives a row of scores "
                "a pair. Reranker reads them as one score; CrossEncoder is for models with one label."
            )

    @classmethod
    def _reopened(cls, config: OpenConfig, activation_fn: Activation | None) -> Self:
        self = cls.__new__(cls)
        self.activation_fn = activation_fn
        self._open(config)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its options: the copy opens the model anew."""
        return (self._reopened, (self._config, self.activation_fn))

    @property
    def max_length(self) -> int:
        """Tokens of a pair, special tokens included; can be set."""
        return self._scorer.encoder.config.max_length

    @max_length.setter
    def max_length(self, tokens: int) -> None:
        encoder, tokens = self._scorer.encoder, checked_length(tokens, self._scorer.profile)
        encoder = replace(encoder, config=replace(encoder.config, max_length=tokens))
        self._engine = Scheduler(replace(self._scorer, encoder=encoder))
        self._config = replace(self._config, max_length=tokens)

    @property
    def _scorer(self) -> Scorer:
        return self._engine.scorer

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
        """Scores of pairs: a float32 array [n], a tensor, or a list; one score for a single pair.

        Args:
            inputs: a list of (query, document) pairs, or one pair.
            batch_size: accepted and checked; batches are planned by tokens here, which scores do not depend on.
            show_progress_bar: True shows one.
            activation_fn: as in the constructor, for this call.
            convert_to_numpy: an array; False gives a list, of tensors where torch is loaded, else of floats.
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
            torch = sys.modules.get("torch")  # where it is loaded, a list of tensors as from sentence-transformers
            scores = scores.tolist() if torch is None else list(torch.from_numpy(np.ascontiguousarray(scores)))
        return scores[0] if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,  # noqa: FBT001, FBT002 - may be given by position, as in the original
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
    ) -> list[dict[str, Any]]:
        """`[{"corpus_id": i, "score": s}]`, best first, with the document as `text` when asked for."""
        documents = list(check_iterable("documents", documents, "documents"))
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
            outcome = self._engine.run(self._engine.work(pairs[start : start + step]))
            logits += [outcome.results[pair].logit for pair in pairs[start : start + step]]
        return np.array(logits, np.float32)

    def _activate(self, logits: NDArray[np.float32], activation: Activation | None) -> NDArray[np.float32]:
        if activation is None:
            return self._scorer.activate(logits)
        torch = sys.modules.get("torch")
        given = logits if torch is None else torch.from_numpy(logits)
        return np.asarray(activation(given), np.float32)


class CrossEncoderReranker:
    """Reranks dicts with a `content`: `rerank(query, documents, top_k=10) -> [{**document, "score": float}]`."""

    def __init__(self, model_name: str | None = None, *, device: str | None = None) -> None:
        self._reranker = Reranker(model_name, device=device or "auto")

    def rerank(self, query: str, documents: Sequence[Mapping[str, Any]], top_k: int = 10) -> list[dict[str, Any]]:
        """New dicts, best first, at most `top_k`; the given ones are not changed."""
        texts = []
        for i, document in enumerate(check_iterable("documents", documents, "dicts with a 'content'")):
            if not isinstance(document, Mapping):
                raise ArgumentTypeError(
                    f"documents[{i}] is {type(document).__name__}; give dicts with a 'content'. "
                    "For other documents use Reranker().rank()"
                )
            if not isinstance(document.get("content"), str):
                raise DocumentError(
                    f"documents[{i}] has no text in 'content'; its fields are: "
                    f"{', '.join(map(repr, document)) or '(none)'}"
                )
            texts.append(document["content"])
        ranking = self._reranker.rank(query, texts, top_k=top_k)
        return [{**documents[hit.index], "score": hit.score} for hit in ranking]


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
    return Pair(
        text_of(items[0], f"the query of inputs[{index}]"), text_of(items[1], f"the document of inputs[{index}]")
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("convert_to_tensor needs torch. Run: pip install 'crossrank[torch]'") from exc
    return torch
