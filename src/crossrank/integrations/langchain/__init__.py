"""LangChain: a document compressor, a cross-encoder and a retriever that reranks. They need langchain-core alone."""

from crossrank.integrations.langchain.cross_encoder import CrossRankCrossEncoder
from crossrank.integrations.langchain.reranker import CrossEncoderReranker
from crossrank.integrations.langchain.retriever import RerankingRetriever

__all__ = ["CrossEncoderReranker", "CrossRankCrossEncoder", "RerankingRetriever"]
