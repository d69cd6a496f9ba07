"""The object people hold: `rank`, `rank_many`, `score`, `prepare`. The path from a query and documents to a ranking.

It knows documents, pairs and rankings; not tokens, models' files or engines.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain
from os import PathLike
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import (
    Wanted,
    check_iterable,
    check_model,
    check_pair,
    check_query,
    deadline_of,
    zip_strict,
)
from crossrank.backends.contract import BackendFacts
from crossrank.documents import TextDocument, as_documents, check_fields, text_of
from crossrank.engine.cache import ScoreCache
from crossrank.engine.cut import WINDOWS_MAX, LongDocuments
from crossrank.engine.encode import Tokens
from crossrank.engine.open import OpenConfig, check_instruction, open_scorer
from crossrank.engine.pair import Pair, Scored
from crossrank.engine.scorer import PORTION_CHARACTERS, Outcome, Scorer
from crossrank.errors import ClosedError, CrossrankError, UsageError
from crossrank.remote.names import is_remote
from crossrank.types import Document, Hit, Ranking

PROGRESS_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDocuments(Sequence[Document]):
    """Documents with their tokens, from `Reranker.prepare`; goes wherever `documents` does. Behaves like their list."""

    items: tuple[TextDocument, ...]
    tokens: dict[str, Tokens]
    owner: object  # the tokenizer that made the tokens: another model reads the texts anew

    def __getitem__(self, position: Any) -> Any:
        """The caller's own document at a position, or a list of them for a slice."""
        if isinstance(position, slice):
            return [item.document for item in self.items[position]]
        return self.items[position].document

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.items)


class Reranker:
    """A cross-encoder that is ready to rank. Share one between threads; it can be pickled and used after a fork.

    Args:
        model: None or "crossrank-mini" for the bundled model, a local folder, or a name of the Hugging Face hub. A name
            such as "cohere:rerank-v4.0-pro", or a URL, opens a `crossrank.remote.RemoteReranker`, whose options are its
            own.
        device: "auto", "cpu", "cuda", "cuda:N", "mps", or the name of an execution provider of ONNX Runtime.
        backend: "native", the C++ engine for CPUs; "torch", for GPUs and for families that the native one does not
            have; "onnx", for models that are stored so; "auto" is torch where there is a GPU of NVIDIA's, else native
            if it has the family, else torch, else onnx. Of a model that is ONNX only, "auto" is onnx.
        precision: "auto", "fp32", "bf16", "fp16" (torch) or "int8" (native). "auto" of the native engine is the fastest
            that agrees with fp32, as `crossrank doctor --precision` measured it for this model; where it did not, bf16
            if the processor has it, else fp32. "auto" of torch is bf16 on a GPU (fp16 on older ones), fp32 elsewhere.
        threads: CPU threads; by default the cores this process may use. Of torch it is set for the whole process.
        batch_tokens: tokens that go through the model at a time; bounds memory.
        max_length: tokens of a pair, special tokens included; by default what the model can read.
        long_documents: what to do with a document that does not fit: "chunk" it into overlapping windows of which the
            best counts, "truncate" its end, or "error".
        windows_max: the most windows of one document; what is beyond is not read, and the hit says so.
        instruction: what to look for, in words, for models that are asked so (Qwen3-Reranker, mxbai-rerank v2,
            bge-reranker-v2-gemma); an error for others.
        template: how such a model is asked, where its name and files do not tell: "qwen3-reranker", "mxbai-rerank-v2"
            or "bge-reranker-gemma".
        cache: "memory" keeps scores of this process, a `ScoreCache` yours, None nothing.
        revision: branch, tag or commit of a model on the hub.
        compile: whether torch.compile makes the kernels, for packed attention on a GPU; the first calls take long.
        layer: after which layer to stop and score, of a model that has heads there (bge-reranker-v2-minicpm-layerwise:
            8 to 40); by default the last. An error for others.
        allow_unverified: whether to open a model whose modelling code comes with its checkpoint, which is never run,
            and for which crossrank has a net that nobody has compared with the real weights (docs/models.md). A model
            that is stored as ONNX needs no such net.

    Raises:
        UsageError, ArgumentTypeError: an option has a value that cannot be taken.
        ModelError: the model cannot be found, read or scored; its subclasses say which.
    """

    def __new__(cls, model: Any = None, **options: Any) -> Self:
        """A remote reranker, which has the same calls, for a vendor's name or a URL."""
        if not is_remote(model):
            return super().__new__(cls)
        from crossrank.remote import open_remote

        return cast("Self", open_remote(model, options))

    def __init__(
        self,
        model: str | PathLike[str] | None = None,
        *,
        device: str = "auto",
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        long_documents: LongDocuments = "chunk",
        windows_max: int = WINDOWS_MAX,
        instruction: str | None = None,
        template: str | None = None,
        cache: str | ScoreCache | None = "memory",
        revision: str | None = None,
        compile: bool = False,  # noqa: A002 - what torch calls it
        layer: int | None = None,
        allow_unverified: bool = False,
    ) -> None:
        self._open(
            OpenConfig(
                model=check_model(model),
                device=device,
                backend=backend,
                precision=precision,
                threads=threads,
                batch_tokens=batch_tokens,
                max_length=max_length,
                long_documents=long_documents,
                windows_max=windows_max,
                instruction=instruction,
                template=template,
                cache=cache,
                revision=revision,
                compile=compile,
                layer=layer,
                allow_unverified=allow_unverified,
            )
        )

    def _open(self, config: OpenConfig) -> None:
        self._config = config
        self._scorer: Scorer | None = open_scorer(config)

    @classmethod
    def _reopened(cls, config: OpenConfig) -> Self:
        self = cls.__new__(cls)
        self._open(config)
        return self

    def rank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
    ) -> Ranking:
        """The documents in order of relevance to the query.

        Args:
            query: what is asked; not empty.
            documents: strings, mappings, objects with a text, or what `prepare` gave.
            top_k: at most this many hits; all by default.
            threshold: only hits with at least this score.
            fields: of mappings, the fields the model reads, in this order, as YAML.
            instruction: as in the constructor, for this call.
            deadline_s: seconds after which nothing more is scored; the rest follows unscored, in input order.

        Raises:
            UsageError, ArgumentTypeError: a value or type that cannot be taken; items are named by their index.
            NotFiniteError: the model gives NaN or infinity for a pair.
        """
        started = time.perf_counter()
        deadline = deadline_of(deadline_s)
        wanted = Wanted.of(top_k, threshold)
        check_query(query)
        scorer = self._opened()
        check_instruction(scorer.profile, instruction)
        items, known = _prepared(scorer, documents, fields)
        asked = instruction or ""
        outcome = scorer.score([Pair(query, item.text, asked) for item in items], known=known, deadline=deadline)
        return _ranking(scorer, query, items, outcome, wanted, time.perf_counter() - started, asked)

    def rank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        fields: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> Iterator[Ranking]:
        """A ranking a query, in order, batched across queries; both iterables may be streams.

        A ranking's `timings` are those of the batch of queries that it was part of; its `usage` is its own.

        Args:
            queries: as many as `documents_per_query` has lists.
            documents_per_query: the candidates of each query.
            top_k: as in `rank`.
            threshold: as in `rank`.
            fields: as in `rank`.
            show_progress_bar: None shows one on a terminal once it takes over a second.
        """
        wanted = Wanted.of(top_k, threshold)
        check_fields(fields)
        check_iterable("queries", queries, "strings")
        check_iterable("documents_per_query", documents_per_query, "lists of documents, one a query")
        return _rank_many(
            self._opened(), queries, documents_per_query, wanted, fields, show_progress_bar=show_progress_bar
        )

    def score(self, pairs: Iterable[tuple[str, Document]], *, raw: bool = False) -> NDArray[np.float32]:
        """Scores float32 [n] of (query, document) pairs, in the caller's order; `raw` gives logits."""
        scorer = self._opened()
        given = enumerate(check_iterable("pairs", pairs, "(query, document) tuples"))
        checked = [
            Pair(query, text_of(document, f"the document of pairs[{i}]"))
            for i, (query, document) in ((i, check_pair(pair, i)) for i, pair in given)
        ]
        outcome = scorer.score(checked)
        logits = np.array([outcome.results[pair].logit for pair in checked], np.float32)
        return logits if raw else scorer.activate(logits)

    def prepare(self, documents: Sequence[Document], *, fields: Sequence[str] | None = None) -> PreparedDocuments:
        """The documents, tokenised once; accepted wherever `documents` is."""
        encoder = self._opened().encoder
        items = as_documents(documents, fields)
        return PreparedDocuments(tuple(items), encoder.prepare(item.text for item in items), encoder.tokenizer)

    @property
    def facts(self) -> BackendFacts:
        """What "auto" was resolved into: backend, device, precision, threads."""
        return self._opened().backend.facts

    def close(self) -> None:
        """Free the model. Calls in progress in other threads finish; later ones raise ClosedError."""
        self._scorer = None  # whoever is using it holds it; the last one frees it

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its options: the copy opens the model anew."""
        self._opened()
        return (self._reopened, (self._config,))

    def __repr__(self) -> str:
        """The model and what it runs on."""
        if self._scorer is None:
            return f"Reranker({self._config.model!r}, closed)"
        facts, name = self._scorer.backend.facts, self._scorer.profile.name
        where = f"{facts.threads} threads" if facts.threads else facts.device
        return f"Reranker({name!r}, {facts.backend}/{facts.detail}, {facts.precision}, {where})"

    def _opened(self) -> Scorer:
        if self._scorer is None:
            raise ClosedError("This Reranker was closed; open a new one.")
        return self._scorer


Group = list[tuple[str, Sequence[TextDocument], Mapping[str, Tokens]]]  # queries, their documents, what is tokenised


def _prepared(
    scorer: Scorer, documents: Sequence[Document], fields: Sequence[str] | None
) -> tuple[Sequence[TextDocument], Mapping[str, Tokens]]:
    """The documents as texts, with the tokens of those that were prepared by this very model."""
    if not isinstance(documents, PreparedDocuments):
        return as_documents(documents, fields), {}
    if fields is not None:
        raise UsageError("fields was given for prepared documents; give it to prepare(), where their text is made")
    return documents.items, documents.tokens if documents.owner is scorer.encoder.tokenizer else {}


def _rank_many(
    scorer: Scorer,
    queries: Iterable[str],
    documents_per_query: Iterable[Sequence[Document]],
    wanted: Wanted,
    fields: Sequence[str] | None,
    *,
    show_progress_bar: bool | None,
) -> Iterator[Ranking]:
    from tqdm.auto import tqdm

    total = len(queries) if isinstance(queries, Sized) else None
    disable = None if show_progress_bar is None else not show_progress_bar
    delay = PROGRESS_AFTER_S if show_progress_bar is None else 0
    with tqdm(total=total, desc="Ranking", unit="query", disable=disable, delay=delay) as bar:
        for group in _groups(scorer, queries, documents_per_query, fields):
            started = time.perf_counter()
            known = dict(chain.from_iterable(tokens.items() for _, _, tokens in group))
            outcome = scorer.score([Pair(query, item.text) for query, items, _ in group for item in items], known=known)
            seconds = time.perf_counter() - started
            for query, items, _ in group:
                bar.update()
                yield _ranking(scorer, query, items, outcome, wanted, seconds)


def _groups(
    scorer: Scorer,
    queries: Iterable[str],
    documents_per_query: Iterable[Sequence[Document]],
    fields: Sequence[str] | None,
) -> Iterator[Group]:
    """Neighbouring queries with their documents, about one portion of the engine's work together."""
    group: Group = []
    size = 0
    try:
        for number, (query, documents) in enumerate(zip_strict(queries, documents_per_query)):
            check_query(query, f"queries[{number}]")
            items, known = _prepared(scorer, documents, fields)
            group.append((query, items, known))
            size += sum(len(query) + len(item.text) for item in items)
            if size >= PORTION_CHARACTERS:
                yield group
                group, size = [], 0
    except CrossrankError:
        if group:  # a mistake further on in a stream does not take the good ones before it along
            yield group
        raise
    if group:
        yield group


def _ranking(
    scorer: Scorer,
    query: str,
    items: Sequence[TextDocument],
    outcome: Outcome,
    wanted: Wanted,
    seconds: float,
    instruction: str = "",
) -> Ranking:
    """The hits that are wanted, best first: by logit, not by score, whose activation can saturate."""
    pairs = [Pair(query, item.text, instruction) for item in items]
    scored = [outcome.results.get(pair) for pair in pairs]
    logits = np.array([math.nan if s is None else s.logit for s in scored], np.float32)
    scores = scorer.activate(logits)
    # Highest logit first, unscored last; sorted() is stable, so equal ones keep the caller's order.
    order = sorted(range(len(items)), key=lambda i: math.inf if (s := scored[i]) is None else -s.logit)
    hits: list[Hit] = []
    for i in order:
        score = None if scored[i] is None else float(scores[i])
        if wanted.keeps(score, len(hits)):
            hits.append(_hit(len(hits) + 1, i, items[i], scored[i], score, scorer.profile.name))
    usage = {"documents": len(items), **outcome.usage(pairs)}
    return Ranking(tuple(hits), query, {**outcome.timings, "total": seconds}, usage)


def _hit(rank: int, index: int, item: TextDocument, scored: Scored | None, score: float | None, name: str) -> Hit:
    hit = Hit(rank=rank, index=index, score=None, logit=None, document=item.document, text=item.text)
    if scored is None:
        return hit
    return replace(
        hit,
        score=score,
        logit=scored.logit,
        tokens=scored.tokens,
        truncated=scored.truncated,
        passage=scored.passage,
        scored_by=name,
    )
