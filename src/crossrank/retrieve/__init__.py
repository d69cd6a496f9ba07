"""Retrieve many, rerank few: retrievers, their fusion, and `retriever >> reranker % 10`."""

from crossrank.composition.stage import Stage
from crossrank.retrieve.bm25 import Bm25Index
from crossrank.retrieve.calling import Calling
from crossrank.retrieve.contract import Found, Passage, Retriever
from crossrank.retrieve.fusion import Fused, reciprocal_ranks
from crossrank.retrieve.pipeline import Pipeline, SearchHit, SearchResult

__all__ = [
    "Bm25Index",
    "Calling",
    "Found",
    "Fused",
    "Passage",
    "Pipeline",
    "Retriever",
    "SearchHit",
    "SearchResult",
    "Stage",
    "reciprocal_ranks",
]
