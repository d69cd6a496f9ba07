"""Rerank APIs as values: each vendor's JSON in both directions, as pure functions on bytes.

It knows no HTTP client, no server, no keys and no models: a client and a server that share a dialect cannot disagree.
"""

from crossrank.wire.cohere import COHERE, COHERE_V1
from crossrank.wire.contract import Answer, Call, Dialect, Failure, Item, UnknownFieldError, WireError
from crossrank.wire.infinity import INFINITY
from crossrank.wire.jina import JINA
from crossrank.wire.mixedbread import MIXEDBREAD
from crossrank.wire.nvidia import NVIDIA
from crossrank.wire.own import OWN
from crossrank.wire.pinecone import PINECONE
from crossrank.wire.superset import SUPERSET, SUPERSET_V2
from crossrank.wire.tei import TEI
from crossrank.wire.together import TOGETHER
from crossrank.wire.vllm import VLLM, VLLM_SCORE
from crossrank.wire.voyage import VOYAGE

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        COHERE,
        COHERE_V1,
        VOYAGE,
        JINA,
        TEI,
        VLLM,
        VLLM_SCORE,
        INFINITY,
        MIXEDBREAD,
        TOGETHER,
        PINECONE,
        NVIDIA,
        OWN,
    )
}

__all__ = [
    "DIALECTS",
    "SUPERSET",
    "SUPERSET_V2",
    "Answer",
    "Call",
    "Dialect",
    "Failure",
    "Item",
    "UnknownFieldError",
    "WireError",
]
