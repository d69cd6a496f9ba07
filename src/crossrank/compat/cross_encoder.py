"""`CrossEncoder`, a drop-in for that of sentence-transformers, of which nothing is imported."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import check_iterable, check_model, check_names
from crossrank.checkpoint.settings import read_object
from crossrank.compat.arguments import CALLING, OPENING, Ignored, chosen_prompt, take
from crossrank.documents.texts import text_of
from crossrank.engine.head import activate
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig, checked_length
from crossrank.engine.pair import Pair
from crossrank.engine.replicate import Count
from crossrank.engine.scorer import Scorer
from crossrank.errors import ArgumentTypeError, MissingExtra, NotFiniteError, UsageError
from crossrank.schedule.scheduler import Scheduler

Activation = Callable[[Any], Any]
Scores = NDArray[np.float32]  # [n], or [n, labels] of a model with several labels
PORTION = 512  # pairs that a progress bar advances by
OPENING_KNOWN = {
    "model_name",
    "max_length",
    "device",
    "devices",
    "replicas",
    "precision",
    "activation_fn",
    "revision",
    "num_labels",
    "prompts",
}
CALLING_KNOWN = {"inputs", "batch_size", "show_progress_bar", "activation_fn", "apply_softmax", "prompt", "prompt_name"}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for when a model was opened, and is asked for again when its pickled copy is."""

    config: OpenConfig
    activation_fn: Activation | None
    prompts: Mapping[str, str]
    default_prompt_name: str | None


class CrossEncoder:
    """`sentence_transformers.CrossEncoder` in what applications use: the same numbers, truncating as it does.

    What that class takes beyond this and has no meaning here (`trust_remote_code`, `model_kwargs`, `num_workers` ...)
    is warned about once; anything else is a TypeError.

    Args:
        model_name: a local folder or a name of the hub; None for the bundled model.
        max_length: tokens of a pair; by default what the model can read.
        device: None (as "auto"), "cpu", "cuda", "cuda:N" or "mps".
        devices: several GPUs that share the work, as for `Reranker`.
        replicas: how often the model is there, as for `Reranker`.
        precision: "fp32" gives the original's numbers to 1e-4; for the others, "auto" among them, see `Reranker`.
        activation_fn: from logits to scores, instead of the model's own. It gets a tensor [n] where torch is loaded, as
            from sentence-transformers, else a float32 array [n]; [n, labels] of a model with several labels.
        revision: branch, tag or commit of a model on the hub.
        num_labels: checked against the checkpoint: a head is never made up.
        prompts: texts by name, to be put before queries; added to those of the checkpoint.
        default_prompt_name: which of them, unless a call names another.
        allow_unverified: as for `Reranker`; nothing here runs a checkpoint's code, as trust_remote_code would.
        other: see above.
    """

    def __init__(
        self,
        model_name: str | PathLike[str] | None = None,
        *,
        max_length: int | None = None,
        device: str | None = None,
        devices: Sequence[str] | None = None,
        replicas: Count = 1,
        precision: str = "fp32",
        activation_fn: Activation | None = None,
        revision: str | None = None,
        num_labels: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        allow_unverified: bool = False,
        **other: Any,
    ) -> None:
        ignored = Ignored()
        model_name = take("CrossEncoder()", other, "model_name", model_name)
        activation_fn = take("CrossEncoder()", other, "activation_fn", activation_fn)
        ignored.tell("CrossEncoder()", other, OPENING, OPENING_KNOWN)
        config = OpenConfig(
            check_model(model_name),
            device=str(device or "auto"),
            devices=check_names("devices", devices),
            replicas=replicas,
            precision=precision,
            max_length=max_length,
            cache=None,
            revision=revision,
            allow_unverified=allow_unverified,
            cut_query=True,
            classes=True,
        )
        self._open(Options(config, activation_fn, dict(prompts or {}), default_prompt_name))
        self._ignored = ignored
        if num_labels not in (None, self.num_labels):
            raise UsageError(
                f"num_labels={num_labels}, but the checkpoint has a head of {self.num_labels}; leave it out. "
                "A new head would have to be trained: see crossrank train."
            )

    def _open(self, options: Options) -> None:
        self.activation_fn = options.activation_fn
        self.default_prompt_name = options.default_prompt_name
        self._config, self._ignored, self._lock = options.config, Ignored(), Lock()
        self._engine = Scheduler(open_scorer(options.config))
        stored = read_object(self._scorer.folder / "config_sentence_transformers.json", optional=True)
        self.prompts: dict[str, str] = {**(stored.get("prompts") or {}), **options.prompts}
        self._of_rows = _activation_of_rows(self._scorer.folder, stored)
        chosen_prompt(self.prompts, options.default_prompt_name, None, None)

    @classmethod
    def _reopened(cls, options: Options) -> Self:
        self = cls.__new__(cls)
        self._open(options)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its options: the copy opens the model anew."""
        return (self._reopened, (Options(self._config, self.activation_fn, self.prompts, self.default_prompt_name),))

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

    max_seq_length = max_length  # what sentence-transformers 6 calls it

    @property
    def num_labels(self) -> int:
        """Of the checkpoint's head; with more than one, `predict` gives a row of scores a pair."""
        return self._scorer.profile.labels

    @property
    def device(self) -> str:
        """What the model is computed on: "cpu", "cuda:0" ..."""
        return self._scorer.backend.facts.device

    @property
    def _scorer(self) -> Scorer:
        return self._engine.scorer

    def predict(
        self,
        inputs: Any = None,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **other: Any,
    ) -> Any:
        """Scores of pairs: a float32 array [n], a tensor, or a list; one score for a single pair.

        Of a model with several labels, a score is a row [labels]: logits, unless its checkpoint or the caller says so.

        Args:
            inputs: a list of (query, document) pairs, or one pair.
            batch_size: accepted and checked; batches are planned by tokens here, which scores do not depend on.
            show_progress_bar: True shows one.
            activation_fn: as in the constructor, for this call.
            apply_softmax: of each row of a model with several labels.
            convert_to_numpy: an array; False gives a list, of tensors where torch is loaded, else of floats.
            convert_to_tensor: a torch tensor (needs torch).
            prompt: goes before each query; of models that are asked in words it is the instruction.
            prompt_name: which of `prompts` does.
            other: see the class.
        """
        inputs = take("predict()", other, "inputs", inputs)
        activation_fn = take("predict()", other, "activation_fn", activation_fn)
        self._ignored.tell("predict()", other, CALLING, CALLING_KNOWN)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size must be a positive whole number, not {batch_size!r}")
        single = _is_single(inputs)
        pairs = [_pair(pair, i) for i, pair in enumerate([inputs] if single else inputs)]
        text = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        logits = self._logits(self._prompted(pairs, text), show_progress_bar=bool(show_progress_bar))
        scores: Any = self._activate(logits, activation_fn or self.activation_fn)
        if apply_softmax and scores.ndim > 1:
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = shares / shares.sum(axis=1, keepdims=True)
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
        prompt: str | None = None,
        prompt_name: str | None = None,
        **other: Any,
    ) -> list[dict[str, Any]]:
        """`[{"corpus_id": i, "score": s}]`, best first, with the document as `text` when asked for."""
        if self.num_labels != 1:
            raise UsageError(
                f"rank() needs a model with one label, and this one has {self.num_labels}: predict() gives a row of "
                "scores a pair, and Reranker reads them as one score."
            )
        activation_fn = take("rank()", other, "activation_fn", activation_fn)
        self._ignored.tell("rank()", other, CALLING, CALLING_KNOWN)
        documents = list(check_iterable("documents", documents, "documents"))
        scores = self.predict(
            [(query, document) for document in documents],
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            prompt=prompt,
            prompt_name=prompt_name,
        )
        results: list[dict[str, Any]] = [{"corpus_id": i, "score": float(score)} for i, score in enumerate(scores)]
        if return_documents:
            for result in results:
                result["text"] = documents[result["corpus_id"]]
        return sorted(results, key=lambda result: -result["score"])[:top_k]

    def _prompted(self, pairs: list[Pair], text: str) -> list[Pair]:
        if not text:
            return pairs
        if self._scorer.profile.prompt is not None:
            return [pair._replace(instruction=text) for pair in pairs]
        return [pair._replace(query=text + pair.query) for pair in pairs]

    def _logits(self, pairs: list[Pair], *, show_progress_bar: bool) -> Scores:
        from tqdm.auto import tqdm

        read = self._labels_of if self.num_labels > 1 else self._relevance_of
        step = PORTION if show_progress_bar or self.num_labels > 1 else max(1, len(pairs))
        starts = tqdm(range(0, len(pairs), step), desc="Batches", disable=not show_progress_bar)
        portions = [read(pairs[start : start + step]) for start in starts]
        return np.concatenate(portions) if portions else np.empty(0, np.float32)

    def _relevance_of(self, pairs: list[Pair]) -> Scores:
        """Logits [n] of a model with one label."""
        outcome = self._engine.run(self._engine.work(pairs))
        return np.array([outcome.results[pair].logit for pair in pairs], np.float32)

    def _labels_of(self, pairs: list[Pair]) -> Scores:
        """Logits [n, labels]: what the engine reads as one number, before it does. A pair that is cut is one row."""
        with self._lock:
            begun = self._scorer.begin(pairs)
            logits = np.concatenate([pending() for _, pending in begun.batches])
        if not np.isfinite(logits).all():
            raise NotFiniteError(
                f"{self._scorer.profile.name!r} gives logits that are no numbers; are its weights whole?"
            )
        return logits

    def _activate(self, logits: Scores, activation: Activation | None) -> Scores:
        if activation is None and logits.ndim > 1:
            return activate(logits, self._of_rows)
        if activation is None:
            return self._scorer.activate(logits)
        torch = sys.modules.get("torch")
        given = logits if torch is None else torch.from_numpy(logits)
        return np.asarray(activation(given), np.float32)


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


def _activation_of_rows(folder: Path, stored: Mapping[str, Any]) -> Literal["sigmoid", "identity"]:
    """Of several labels' logits: none, unless the checkpoint names a sigmoid."""
    config = read_object(folder / "config.json")
    named = stored.get("activation_fn") or (config.get("sentence_transformers") or {}).get("activation_fn")
    named = named or config.get("sbert_ce_default_activation_function") or ""
    return "sigmoid" if str(named).endswith("Sigmoid") else "identity"


def _torch() -> Any:
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("convert_to_tensor needs torch. Run: pip install 'crossrank[torch]'") from exc
    return torch
