"""The object people hold: `rank`, `rank_many`, `score`, `prepare`. The path from a query and documents to a ranking.

It knows documents, pairs and rankings; not tokens, models' files or engines.
"""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence, Sized
from functools import partial
from os import PathLike
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import ThresholdOn, Wanted, check_model, check_names, check_number
from crossrank.awaiting import at_once, in_thread
from crossrank.backends.contract import BackendFacts
from crossrank.calibration import Calibration, Given, Origin, opened, origin_of
from crossrank.composition.stage import Keeps
from crossrank.documents.texts import as_documents
from crossrank.engine.cache import ScoreCache
from crossrank.engine.cut import WINDOWS_MAX, LongDocuments
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig, check_instruction
from crossrank.engine.pair import Pair
from crossrank.engine.replicate import Count
from crossrank.engine.scorer import Outcome, Scorer
from crossrank.errors import ClosedError, UsageError
from crossrank.explain import Explanation, Unit, explain
from crossrank.lifetime import AsyncCloses
from crossrank.many import groups_of, in_order, in_order_async
from crossrank.observe.watch import Watch
from crossrank.progress import ranking_bar
from crossrank.question import PreparedDocuments, Question, calibrating, is_small, pairs_of
from crossrank.rankers import FAILURES, Call, Fallback, aask, ask, check_ranker, instead
from crossrank.remote.names import is_remote
from crossrank.schedule.scheduler import WAITING_MAX, Scheduler
from crossrank.schedule.work import Work
from crossrank.types import Document, Ranking


class Reranker(Keeps, AsyncCloses):
    """A cross-encoder that is ready to rank. Share one between threads and event loops; calls at a time share batches.

    It can be pickled, and used after a fork.

    Args:
        model: None or "crossrank-mini" for the bundled model, a local folder, or a name of the Hugging Face hub. A name
            such as "cohere:rerank-v4.0-pro", or a URL, opens a `crossrank.remote.RemoteReranker`, whose options are its
            own.
        device: "auto", "cpu", "cuda", "cuda:N", "mps", or the name of an execution provider of ONNX Runtime.
        devices: several GPUs, as ["cuda:0", "cuda:1"]: the model is on each, and they share the work.
        replicas: how often the model is there, so that they share the work: on GPUs one each, on a CPU each in a
            process of its own, on cores of its own. "auto" is all GPUs, or one a NUMA domain. See docs/devices.md.
        backend: "native", the C++ engine for CPUs; "torch", for GPUs and for families that the native one does not
            have; "onnx", for models that are stored so; "auto" is torch where there is a GPU of NVIDIA's, else native
            if it has the family, else torch, else onnx. Of a model that is ONNX only, "auto" is onnx.
        precision: "auto", "fp32", "bf16", "fp16" (torch) or "int8" (native). "auto" of the native engine is the fastest
            that agrees with fp32, as `crossrank doctor --precision` measured it for this model; where it did not, bf16
            if the processor has it, else fp32. "auto" of torch is bf16 on a GPU (fp16 on older ones), fp32 elsewhere.
        threads: CPU threads, of all replicas together; by default the cores this process may use. Of torch it is set
            for the whole process.
        batch_tokens: tokens that go through the model at a time; bounds memory.
        max_length: tokens of a pair, special tokens included; by default what the model can read.
        long_documents: what to do with a document that does not fit: "chunk" it into overlapping windows of which the
            best counts, "truncate" its end, or "error".
        windows_max: the most windows of one document; what is beyond is not read, and the hit says so.
        aggregate: what a document's windows come to: "max", the best one; "first", which is the only one read then; or
            "mean_top_2", "mean_top_3" and so on, the mean of the best logits.
        max_chars: characters of a document that are read at all, up to a word's edge; None for no such limit.
        instruction: what to look for, in words, for models that are asked so (Qwen3-Reranker, mxbai-rerank v2,
            bge-reranker-v2-gemma); an error for others.
        instruction_mode: "native", by the model's own prompt, or "prefix", as a line of text before the query, which
            any model can read.
        template: how such a model is asked, where its name and files do not tell: "qwen3-reranker", "mxbai-rerank-v2"
            or "bge-reranker-gemma".
        cache: where scores are kept: "memory" of this process, "sqlite:///file", "redis://host:port/database", a
            `ScoreCache` of yours; None keeps neither scores nor tokens. See docs/caching.md.
        revision: branch, tag or commit of a model on the hub.
        compile: whether torch.compile makes the kernels, for packed attention on a GPU; the first calls take long.
        fallback: what answers `rank` where this one fails: another ranker, or "input-order" for the documents as they
            came; `Ranking.fallback` says why. By default a failure is an error.
        waiting_max: documents that may wait for the model, of all callers together; beyond it, one more caller is an
            OverloadError.
        calibration: what turns logits into `hit.probability`: the name or file that `crossrank calibrate` wrote, or a
            `crossrank.calibration.Calibration`. "auto" is calibration.json beside the model, if it is there; None none.
        layer: after which layer to stop and score, of a model that has heads there (bge-reranker-v2-minicpm-layerwise:
            8 to 40); by default the last. An error for others.
        language_guard: whether to warn, once, when texts are clearly in a language that the model is not meant for;
            needs the extra `language`, and looks at few texts. CROSSRANK_LANGUAGE_GUARD=off ends it everywhere.
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
        devices: Sequence[str] | None = None,
        replicas: Count = 1,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        long_documents: LongDocuments = "chunk",
        windows_max: int = WINDOWS_MAX,
        aggregate: str = "max",
        max_chars: int | None = None,
        instruction: str | None = None,
        instruction_mode: str = "native",
        template: str | None = None,
        cache: str | ScoreCache | None = "memory",
        revision: str | None = None,
        compile: bool = False,  # noqa: A002 - what torch calls it
        fallback: Fallback | None = None,
        waiting_max: int = WAITING_MAX,
        calibration: str | PathLike[str] | Calibration | None = "auto",
        layer: int | None = None,
        language_guard: bool = True,
        allow_unverified: bool = False,
    ) -> None:
        if check_number("waiting_max", waiting_max) < 1:
            raise UsageError(f"waiting_max={waiting_max} lets nobody wait; allowed: 1 or more")
        self._open(
            OpenConfig(
                model=check_model(model),
                device=device,
                devices=check_names("devices", devices),
                replicas=replicas,
                backend=backend,
                precision=precision,
                threads=threads,
                batch_tokens=batch_tokens,
                max_length=max_length,
                long_documents=long_documents,
                windows_max=windows_max,
                aggregate=aggregate,
                max_chars=max_chars,
                instruction=instruction,
                instruction_mode=instruction_mode,
                template=template,
                cache=cache,
                revision=revision,
                compile=compile,
                layer=layer,
                language_guard=language_guard,
                allow_unverified=allow_unverified,
            ),
            None if fallback is None else check_ranker(fallback, "fallback"),
            waiting_max,
            calibration,
        )

    def _open(self, config: OpenConfig, fallback: Fallback | None, waiting_max: int, calibration: Given) -> None:
        self._config, self._fallback, self._waiting_max = config, fallback, waiting_max
        scorer = open_scorer(config)
        self._engine: Scheduler | None = Scheduler(scorer, waiting_max=waiting_max)
        self._calibration = opened(calibration, scorer.folder, lambda: self.origin)

    @classmethod
    def _reopened(
        cls, config: OpenConfig, fallback: Fallback | None, waiting_max: int, calibration: Calibration | None
    ) -> Self:
        self = cls.__new__(cls)
        self._open(config, fallback, waiting_max, calibration)
        return self

    def rank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """The documents in order of relevance to the query.

        Args:
            query: what is asked; not empty.
            documents: strings, mappings, objects with a text, or what `prepare` gave.
            top_k: at most this many hits; all by default.
            threshold: only hits with at least this score, or probability.
            threshold_on: what `threshold` is on: "score", or "probability" where a calibration is in use.
            fields: of mappings, the fields the model reads, in this order, as YAML; paths such as "author.name" and
                "sections[0].title" too.
            instruction: as in the constructor, for this call; a calibration says nothing of logits it changes.
            deadline_s: seconds after which nothing more is scored; the rest follows unscored, in input order.
            priority: among callers who wait at the same time; higher is served first.

        Raises:
            UsageError, ArgumentTypeError: a value or type that cannot be taken; items are named by their index.
            NotFiniteError: the model gives NaN or infinity for a pair.
            OverloadError: too much is waiting already.
        """
        call = Call.of(query, documents, top_k, threshold, fields, instruction, deadline_s, threshold_on, priority)
        engine, started = self._opened(), time.perf_counter()
        try:
            with Watch(engine.scorer.profile.name, "rank", _count(documents)) as watch:
                question, work = self._asked(engine, call)
                ranking = question.ranking(engine.scorer, engine.run(work), started)
                watch.note(ranking.usage, ranking.timings)
                return ranking
        except FAILURES as exc:
            if self._fallback is None:
                raise
            return instead(ask(self._fallback, call), exc)

    async def arank(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        deadline_s: float | None = None,
        priority: int = 0,
    ) -> Ranking:
        """As `rank`, awaitable, in asyncio and trio; the event loop goes on. Cancelling it takes the work back."""
        call = Call.of(query, documents, top_k, threshold, fields, instruction, deadline_s, threshold_on, priority)
        engine, started = self._opened(), time.perf_counter()
        aside = at_once if is_small(documents) and engine.recalls_at_once else in_thread
        try:
            with Watch(engine.scorer.profile.name, "rank", _count(documents)) as watch:
                question, work = await aside(partial(self._asked, engine, call))
                outcome = await engine.arun(work)
                ranking = await aside(partial(question.ranking, engine.scorer, outcome, started))
                watch.note(ranking.usage, ranking.timings)
                return ranking
        except FAILURES as exc:
            if self._fallback is None:
                raise
            return instead(await aask(self._fallback, call), exc)

    def rank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
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
            threshold_on: as in `rank`.
            fields: as in `rank`.
            show_progress_bar: None shows one on a terminal once it takes over a second.
        """
        wanted = Wanted.of(top_k, threshold, threshold_on)
        calibration = self._calibrating(wanted, None)
        groups = groups_of(self._opened(), queries, documents_per_query, wanted, fields, calibration)
        return in_order(groups, ranking_bar(queries, shown=show_progress_bar))

    def arank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Document]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        threshold_on: ThresholdOn = "score",
        fields: Sequence[str] | None = None,
    ) -> AsyncIterator[Ranking]:
        """As `rank_many`, an asynchronous iterator; the event loop goes on."""
        wanted = Wanted.of(top_k, threshold, threshold_on)
        calibration = self._calibrating(wanted, None)
        groups = groups_of(self._opened(), queries, documents_per_query, wanted, fields, calibration)
        return in_order_async(groups)

    def score(self, pairs: Iterable[tuple[str, Document]], *, raw: bool = False) -> NDArray[np.float32]:
        """Scores float32 [n] of (query, document) pairs, in the caller's order; `raw` gives logits."""
        engine, checked = self._opened(), pairs_of(pairs)
        with Watch(engine.scorer.profile.name, "score", len(checked)) as watch:
            return _scores(engine.scorer, checked, engine.run(engine.work(checked)), watch, raw=raw)

    async def ascore(self, pairs: Iterable[tuple[str, Document]], *, raw: bool = False) -> NDArray[np.float32]:
        """As `score`, awaitable."""
        engine, checked = self._opened(), await in_thread(partial(pairs_of, pairs))
        with Watch(engine.scorer.profile.name, "score", len(checked)) as watch:
            outcome = await engine.arun(await in_thread(partial(engine.work, checked)))
            return _scores(engine.scorer, checked, outcome, watch, raw=raw)

    def explain(
        self, query: str, document: Document, *, unit: Unit = "sentence", fields: Sequence[str] | None = None
    ) -> Explanation:
        """What each sentence or word of a document adds to its score; see `crossrank.explain.explain`."""
        return explain(self, query, document, unit=unit, fields=fields)

    def prepare(self, documents: Sequence[Document], *, fields: Sequence[str] | None = None) -> PreparedDocuments:
        """The documents, tokenised once; accepted wherever `documents` is."""
        encoder = self._opened().scorer.encoder
        items = as_documents(documents, fields)
        return PreparedDocuments(tuple(items), encoder.prepare(item.text for item in items), encoder.tokenizer)

    @property
    def facts(self) -> BackendFacts:
        """What "auto" was resolved into: backend, device, precision, threads."""
        return self._opened().scorer.backend.facts

    @property
    def calibration(self) -> Calibration | None:
        """What makes `hit.probability`, if there is one for this model."""
        return self._calibration

    @property
    def origin(self) -> Origin:
        """Which model this is and how it reads: what a calibration is for."""
        return origin_of(self._opened().scorer, self._config.instruction)

    def close(self) -> None:
        """Free the model. Calls in progress finish; later ones raise ClosedError."""
        self._engine = None  # whoever is using it holds it; the last one frees it

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its options: the copy opens the model anew."""
        self._opened()
        return (self._reopened, (self._config, self._fallback, self._waiting_max, self._calibration))

    def __repr__(self) -> str:
        """The model and what it runs on."""
        if self._engine is None:
            return f"Reranker({self._config.model!r}, closed)"
        facts, name = self._engine.scorer.backend.facts, self._engine.scorer.profile.name
        where = f"{facts.threads} threads" if facts.threads else facts.device
        where += f" in {facts.replicas} replicas" if facts.replicas > 1 else ""
        return f"Reranker({name!r}, {facts.backend}/{facts.detail}, {facts.precision}, {where})"

    def _calibrating(self, wanted: Wanted, instruction: str | None) -> Calibration | None:
        """The calibration for the logits of a call; an instruction of the call's own makes others."""
        own = instruction in (None, self._config.instruction)
        return calibrating(self._calibration if own else None, wanted)

    def _opened(self) -> Scheduler:
        if self._engine is None:
            raise ClosedError("This Reranker was closed; open a new one.")
        return self._engine

    def _asked(self, engine: Scheduler, call: Call) -> tuple[Question, Work]:
        """The question of a call, and the work that it makes."""
        call.check_fits(self._fallback)
        check_instruction(engine.scorer.profile, call.instruction, self._config.instruction_mode)
        wanted = Wanted(call.top_k, call.threshold, call.threshold_on)
        question = Question.of(
            engine.scorer,
            call.query,
            call.documents,
            wanted,
            fields=call.fields,
            instruction=call.instruction,
            calibration=self._calibrating(wanted, call.instruction),
        )
        return question, engine.work(
            question.pairs, known=question.known, deadline=call.deadline, priority=call.priority
        )


def _count(documents: Any) -> int:
    return len(documents) if isinstance(documents, Sized) else 0


def _scores(scorer: Scorer, pairs: Sequence[Pair], outcome: Outcome, watch: Watch, *, raw: bool) -> NDArray[np.float32]:
    watch.note(outcome.usage(pairs), outcome.timings)
    logits = np.array([outcome.results[pair].logit for pair in pairs], np.float32)
    return logits if raw else scorer.activate(logits)
