"""The parts of a training config: frozen values with their defaults and bounds.

They know what each key means; not files, other parts or torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossrank.train.parse import bounded

GIVEN = "given"  # the teacher that stands for the scores in a file of scored pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Where a run lives.

    Attributes:
        output: the folder of the run: checkpoints, log and, at the end, `model/`.
        data: the folder that paths of sources and evaluation sets start from; the config's own by default.
        cache: where prepared data is kept; `prepared` in the output folder by default. Runs may share one.
        seed: of sampling, of new weights and of dropout.
    """

    output: str
    data: str = "."
    cache: str | None = None
    seed: int = bounded(13, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What is trained.

    Attributes:
        base: a folder, a name of the Hugging Face hub, or `package:NAME` for weights inside an installed package; what
            begins with a dot is seen from the config's own folder.
        base_name: what the card calls the base; its name on the hub, if it has one.
        base_note: what the card says of how the base was made, where a run starts from another run's model.
        average_with: folders of models from the same origin, written as `base`; the result is the mean of its weights
            and theirs (Wortsman et al. 2022).
        name: for the card.
        licence: of the result, for the card.
        language: for the card, a two-letter code.
        max_length: tokens of a pair while training, special tokens included; longer documents lose their end.
        reads: tokens of a pair that the finished model claims to read.
        precision: of the weights that are written.
    """

    base: str
    base_name: str = ""
    base_note: str = ""
    average_with: tuple[str, ...] = ()
    name: str = "reranker"
    licence: str = ""
    language: str = "en"
    max_length: int = bounded(256, least=8)
    reads: int | None = bounded(None, least=8)
    precision: Literal["fp32", "fp16"] = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsConfig:
    """How it is trained.

    Attributes:
        steps: optimiser steps.
        queries_per_step: queries in a step, each with its list of documents.
        pairs_per_forward: pairs that go through the model at a time, shortest first; 0 means 16 on a CPU, all on a GPU.
        learning_rate: at its peak.
        warmup: share of the steps in which it rises.
        schedule: what it does afterwards.
        weight_decay: AdamW's.
        clip: the largest norm of the gradient.
        dropout: while training; 0 is faster on a CPU and does no harm to short runs.
        device: "auto" takes a GPU if there is one.
        bf16: run matrix products in bfloat16; "auto" where the hardware has them.
        attention: transformers' name of the implementation; "auto" is eager on a CPU, sdpa on a GPU.
        threads: CPU threads; torch's choice by default.
        compile: let torch.compile fuse what lies between matrix products; a minute at the start, faster steps after.
        log_every: steps between lines of the log.
        save_every: steps between checkpoints.
        keep: checkpoints that stay.
        average: the result is the mean of the weights of this many last checkpoints (Izmailov et al. 2018).
        evaluate_every: steps between evaluations; 0 means at the end only.
    """

    steps: int = bounded(least=1)
    queries_per_step: int = bounded(4, least=1)
    pairs_per_forward: int = bounded(0, least=0)
    learning_rate: float = bounded(3e-5, above=0, most=1)
    warmup: float = bounded(0.06, least=0, most=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = bounded(0.01, least=0)
    clip: float = bounded(1.0, above=0)
    dropout: float = bounded(0.0, least=0, most=0.9)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    bf16: Literal["auto", "on", "off"] = "auto"
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    threads: int | None = bounded(None, least=1)
    compile: bool = False
    log_every: int = bounded(20, least=1)
    save_every: int = bounded(500, least=1)
    keep: int = bounded(2, least=1)
    average: int = bounded(1, least=1)
    evaluate_every: int = bounded(0, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Where examples come from; docs/training.md describes the formats.

    Attributes:
        path: a folder (beir, cloze) or a JSON lines file (triples, clicks, pairs), below the data root.
        kind: the format.
        name: for messages and the card; the path's last part by default.
        licence: of the data, for the card.
        share: of all examples, relative to the other sources.
        repeats_max: how often a query may come again, each time with other negatives.
        until: the source comes in this first share of the steps only; what does not fit there follows at once.
        limit: at most this many queries, drawn by seed.
        split: of a folder in BEIR layout.
        graded: whether grades count as shares of the highest; else all above 0 are 1.
        exclude: file of document ids (one a line) that are left out; below the source's folder.
        titles: share of the documents whose title stands before the text.
        words_max: words of a document that are kept.
        queries_per_document_max: at most this many queries with the same first relevant document.
        keywords: share of the queries that are reduced to their content words.
        drop_words: share of a query's words that are dropped.
        unquote: share of the queries whose words are taken out of their relevant document where they stand verbatim.
        scores: what the score of a pair is: a label in 0..1, or a teacher's score (the teacher "given").
    """

    path: str
    kind: Literal["beir", "cloze", "triples", "clicks", "pairs"] = "beir"
    name: str = ""
    licence: str = ""
    share: float = bounded(1.0, above=0)
    repeats_max: int = bounded(8, least=1)
    until: float = bounded(1.0, above=0, most=1)
    limit: int | None = bounded(None, least=1)
    split: str = "train"
    graded: bool = False
    exclude: str | None = None
    titles: float = bounded(1.0, least=0, most=1)
    words_max: int = bounded(256, least=8)
    queries_per_document_max: int | None = bounded(None, least=1)
    keywords: float = bounded(0.0, least=0, most=1)
    drop_words: float = bounded(0.0, least=0, most=0.9)
    unquote: float = bounded(0.0, least=0, most=1)
    scores: Literal["label", "teacher"] = "label"

    @property
    def title(self) -> str:
        """The name, or the path's last part."""
        return self.name or Path(self.path).stem


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativesConfig:
    """Which documents stand against the relevant ones.

    Attributes:
        positives: relevant documents in a list, at most.
        hard: judged not relevant, or mined with BM25.
        random: documents of the source that nobody chose for this query.
        random_from: the whole corpus, or what is relevant to other queries: then no document is scored by a teacher
            for being a random one alone (originals of changed ones apart), which saves a third of the vectors.
        depth: BM25's best this many are the candidates.
        skip: of them, the first this many are passed over.
        ranker: a model (folder, hub name or bundled name) that reorders the candidates; its best are taken.
        teacher: which teacher finds false negatives.
        margin: a negative is dropped unless the teacher puts it this far below the relevant document.
        share: a negative is dropped if the teacher gives it more than this share of the relevant document's score.
        false: what happens to such a negative: another takes its place, or it stays without a label, so that only
            losses that follow a teacher see it.
    """

    positives: int = bounded(1, least=1)
    hard: int = bounded(4, least=0)
    random: int = bounded(3, least=0)
    random_from: Literal["corpus", "relevant"] = "corpus"
    depth: int = bounded(50, least=1)
    skip: int = bounded(0, least=0)
    ranker: str | None = None
    teacher: str | None = None
    margin: float | None = None
    share: float | None = bounded(None, above=0)
    false: Literal["drop", "unlabel"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartConfig:
    """One opinion in a teacher: `weight` times its score of a pair.

    Attributes:
        kind: a bi-encoder's cosine, BM25 within the source, or any ranker's score.
        model: which bi-encoder or ranker; as `model.base`, or the name of a ranker that the caller hands over.
        weight: factor of the score.
        normalise: within a query's list: not at all, to 0..1, or to mean 0 and deviation 1.
        max_length: tokens of a text that a bi-encoder reads.
    """

    kind: Literal["bi-encoder", "bm25", "ranker"]
    model: str | None = None
    weight: float = 1.0
    normalise: Literal["none", "minmax", "zscore"] = "none"
    max_length: int = bounded(256, least=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """A named sum of opinions."""

    name: str
    parts: tuple[PartConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """One term of the loss; `crossrank.train.losses` says what each is.

    Attributes:
        kind: the term.
        weight: its factor.
        teacher: whose scores it follows (kl, margin_mse).
        scale: what the teacher's scores are multiplied by.
        temperature: what both distributions are softened by (kl).
    """

    kind: Literal["bce", "listwise", "lambda", "margin_mse", "kl"]
    weight: float = bounded(1.0, above=0)
    teacher: str | None = None
    scale: float = bounded(1.0, above=0)
    temperature: float = bounded(1.0, above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """A set in BEIR layout that is measured and never trained on.

    Attributes:
        path: its folder, below the data root.
        name: for tables; the path's last part by default.
        split: of the judgements.
        candidates: what is reranked: BM25's best, each query's judged documents, or a TREC run below the folder.
        depth: how many of them.
        limit: at most this many queries, the first ones.
        measure: as ir-measures names it.
    """

    path: str
    name: str = ""
    split: str = "test"
    candidates: str = "bm25"
    depth: int = bounded(100, least=1)
    limit: int | None = bounded(None, least=1)
    measure: str = "nDCG@10"

    @property
    def title(self) -> str:
        """The name, or the path's last part."""
        return self.name or Path(self.path).name
