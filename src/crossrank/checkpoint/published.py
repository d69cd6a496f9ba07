"""Quality that was published of known models, as data: each figure under its board, with source and date.

A board is one set and one protocol; figures of two boards cannot be compared. What nobody published in a way that could
be read is not here: unknown stays unknown. It holds data only.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Board:
    """Figures that can be compared with each other.

    Attributes:
        name: for tables.
        what: the measure, the set and the candidates, in words.
        languages: what it says something about; empty for "many languages, not one by one".
        source: who published it.
        date: when, as far as that is known.
        figures: by the model's name, or the spec of a vendor's; the higher the better.
    """

    name: str
    what: str
    languages: frozenset[str]
    source: str
    date: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Published:
    """One figure."""

    board: Board
    value: float


def _codes(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


ENGLISH = _codes("en")
MIRACL_LANGUAGES = _codes("ar bn de en es fa fi fr hi id ja ko ru sw te th yo zh")
MKQA_LANGUAGES = _codes("ar da de en es fi fr he hu it ja km ko ms nl no pl pt ru sv th tr vi zh")

ETTIN_BLOG = "Hugging Face blog, Introducing the Ettin Reranker Family (huggingface/blog, ettin-reranker.md)"
QWEN_CARD = "model card of Qwen3-Reranker (top-100 of Qwen3-Embedding-0.6B)"
JINA_CARD = "model card of jina-reranker-v3 (a vendor's figures, of its competitors too)"
SBERT_DOCS = "sentence-transformers documentation, MS MARCO cross-encoders"
ELO_README = "agentset-ai/reranker-eval, README (GPT-5 as judge, 50 candidates of bge-small-en-v1.5)"

MTEB_ENGLISH = Board(
    name="MTEB(eng, v2)",
    what="nDCG@10 on its retrieval tasks, the mean over six first stages of 100 candidates",
    languages=ENGLISH,
    source=ETTIN_BLOG,
    date="2026-05",
    figures={
        "Qwen/Qwen3-Reranker-4B": 0.6367,
        "mixedbread-ai/mxbai-rerank-large-v2": 0.6115,
        "cross-encoder/ettin-reranker-1b-v1": 0.6114,
        "cross-encoder/ettin-reranker-400m-v1": 0.6091,
        "cross-encoder/ettin-reranker-150m-v1": 0.5994,
        "Qwen/Qwen3-Reranker-0.6B": 0.5940,
        "mixedbread-ai/mxbai-rerank-base-v2": 0.5920,
        "cross-encoder/ettin-reranker-68m-v1": 0.5915,
        "Alibaba-NLP/gte-reranker-modernbert-base": 0.5843,
        "cross-encoder/ettin-reranker-32m-v1": 0.5779,
        "cross-encoder/ettin-reranker-17m-v1": 0.5576,
        "BAAI/bge-reranker-v2-m3": 0.5526,
        "BAAI/bge-reranker-large": 0.5098,
        "cross-encoder/ms-marco-MiniLM-L6-v2": 0.5082,
        "cross-encoder/ms-marco-MiniLM-L12-v2": 0.5066,
        "mixedbread-ai/mxbai-rerank-large-v1": 0.5063,
        "cross-encoder/ms-marco-MiniLM-L4-v2": 0.4979,
        "mixedbread-ai/mxbai-rerank-xsmall-v1": 0.4968,
        "BAAI/bge-reranker-base": 0.4890,
        "mixedbread-ai/mxbai-rerank-base-v1": 0.4865,
    },
)
MIRACL = Board(
    name="MIRACL",
    what="nDCG@10, the mean over 18 languages",
    languages=MIRACL_LANGUAGES,
    source=JINA_CARD,
    date="2025-10-03",
    figures={
        "BAAI/bge-reranker-v2-m3": 0.6932,
        "Qwen/Qwen3-Reranker-4B": 0.6752,
        "jina:jina-reranker-v3": 0.6683,
        "jina:jina-reranker-m0": 0.6675,
        "jinaai/jina-reranker-v2-base-multilingual": 0.6365,
        "jina:jina-reranker-v2-base-multilingual": 0.6365,
        "mixedbread-ai/mxbai-rerank-large-v2": 0.5794,
        "Qwen/Qwen3-Reranker-0.6B": 0.5770,
        "mixedbread-ai/mxbai-rerank-base-v2": 0.5532,
    },
)
MKQA = Board(
    name="MKQA",
    what="the mean over 26 languages",
    languages=MKQA_LANGUAGES,
    source=JINA_CARD,
    date="2025-10-03",
    figures={
        "jina:jina-reranker-m0": 0.6819,
        "jina:jina-reranker-v3": 0.6792,
        "jinaai/jina-reranker-v2-base-multilingual": 0.6790,
        "jina:jina-reranker-v2-base-multilingual": 0.6790,
        "BAAI/bge-reranker-v2-m3": 0.6788,
        "Qwen/Qwen3-Reranker-4B": 0.6752,
        "mixedbread-ai/mxbai-rerank-large-v2": 0.6706,
        "Qwen/Qwen3-Reranker-0.6B": 0.6534,
        "mixedbread-ai/mxbai-rerank-base-v2": 0.6424,
    },
)
MMTEB = Board(
    name="MMTEB retrieval",
    what="the mean over the multilingual retrieval tasks of MMTEB",
    languages=frozenset(),
    source=QWEN_CARD,
    date="2025-06-05",
    figures={
        "Qwen/Qwen3-Reranker-8B": 0.7294,
        "Qwen/Qwen3-Reranker-4B": 0.7274,
        "Qwen/Qwen3-Reranker-0.6B": 0.6636,
        "jinaai/jina-reranker-v2-base-multilingual": 0.6373,
        "jina:jina-reranker-v2-base-multilingual": 0.6373,
        "BAAI/bge-reranker-v2-m3": 0.5836,
    },
)
BEIR = Board(
    name="BEIR",
    what="nDCG@10",
    languages=ENGLISH,
    source=JINA_CARD,
    date="2025-10-03",
    figures={
        "jina:jina-reranker-v3": 0.6194,
        "mixedbread-ai/mxbai-rerank-large-v2": 0.6144,
        "Qwen/Qwen3-Reranker-4B": 0.6116,
        "jina:jina-reranker-m0": 0.5895,
        "mixedbread-ai/mxbai-rerank-base-v2": 0.5840,
        "jinaai/jina-reranker-v2-base-multilingual": 0.5706,
        "jina:jina-reranker-v2-base-multilingual": 0.5706,
        "BAAI/bge-reranker-v2-m3": 0.5651,
        "Qwen/Qwen3-Reranker-0.6B": 0.5628,
    },
)
DL19 = Board(
    name="TREC DL 2019",
    what="nDCG@10",
    languages=ENGLISH,
    source=SBERT_DOCS,
    date="read 2026-11-20",
    figures={
        "cross-encoder/ms-marco-MiniLM-L12-v2": 0.7431,
        "cross-encoder/ms-marco-MiniLM-L6-v2": 0.7430,
        "cross-encoder/ms-marco-MiniLM-L4-v2": 0.7304,
        "cross-encoder/ms-marco-electra-base": 0.7199,
        "cross-encoder/ms-marco-MiniLM-L2-v2": 0.7101,
        "cross-encoder/ms-marco-TinyBERT-L2-v2": 0.6984,
    },
)
OWN = Board(
    name="crossrank's own measurement",
    what="nDCG@10 on TREC DL 2019, BM25's 100 best reranked; BM25 alone has 0.506, a bi-encoder of the same size 0.642",
    languages=ENGLISH,
    source="crossrank's README, Measured",
    date="2026-11-21",
    figures={"crossrank-mini": 0.6494},
)
ELO = Board(
    name="Elo of a judge",
    what="Elo by a language model's pairwise judgements, on six English sets",
    languages=ENGLISH,
    source=ELO_README,
    date="read 2026-11-21",
    figures={
        "cohere:rerank-v4.0-pro": 1629,
        "voyage:rerank-2.5": 1544,
        "voyage:rerank-2.5-lite": 1520,
        "cohere:rerank-v4.0-fast": 1510,
        "Qwen/Qwen3-Reranker-8B": 1473,
        "cohere:rerank-v3.5": 1451,
        "BAAI/bge-reranker-v2-m3": 1327,
        "jinaai/jina-reranker-v2-base-multilingual": 1327,
        "jina:jina-reranker-v2-base-multilingual": 1327,
    },
)
BOARDS = (MTEB_ENGLISH, MIRACL, MKQA, MMTEB, BEIR, DL19, ELO, OWN)  # those that have most of the catalogue first


def boards_for(language: str | None) -> tuple[Board, ...]:
    """The boards that say something about a language, the most telling first; without one, about English."""
    wanted = language or "en"
    if wanted == "en":
        return tuple(board for board in BOARDS if board.languages == ENGLISH)
    return tuple(board for board in BOARDS if wanted in board.languages or not board.languages)


def published(name: str, boards: tuple[Board, ...] = BOARDS) -> tuple[Published, ...]:
    """What is published of a model, on these boards, in their order."""
    return tuple(Published(board, board.figures[name]) for board in boards if name in board.figures)
