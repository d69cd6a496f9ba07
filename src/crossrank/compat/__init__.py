"""Drop-ins for classes that people already use: sentence-transformers' `CrossEncoder`, and a reranker of dicts."""

from crossrank.compat.cross_encoder import CrossEncoder
from crossrank.compat.dicts import CrossEncoderReranker

__all__ = ["CrossEncoder", "CrossEncoderReranker"]
