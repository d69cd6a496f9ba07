"""What others have published of rerankers that cannot be measured here without a key: quoted, never measured.

It holds data only. Each figure has its source and the date on which that was read; what a source does not say is None.
"""

from dataclasses import dataclass

READ = "2026-11-20"
ORACLE = "https://docs.oracle.com/en-us/iaas/Content/generative-ai/benchmark-cohere-rerank-3-5.htm"
AIMULTIPLE = "AIMultiple's reranker benchmark, as particula.tech reports it"


@dataclass(frozen=True, slots=True)
class Published:
    """A quoted latency.

    Attributes:
        model: as a `--model` of ours names it, or in words.
        what: on what it runs.
        documents: of a query; None where the source does not say.
        tokens: of a document; None where the source does not say.
        seconds: of a query.
        source: an address, or who said it where.
        read: the date on which it was read there.
        price: the vendor and model of the price table, where that one is sold by the query.
    """

    model: str
    what: str
    documents: int | None
    tokens: int | None
    seconds: float
    source: str
    read: str = READ
    price: tuple[str, str] | None = None


_ON_OCI = "one RERANK_COHERE unit of a dedicated cluster"  # sold by the hour: no price a query
_COHERE = ("cohere", "rerank-v3.5")

PUBLISHED = (
    Published("Cohere Rerank 3.5 on OCI", _ON_OCI, 24, 64, 0.12, ORACLE),
    Published("Cohere Rerank 3.5 on OCI", _ON_OCI, 96, 64, 0.17, ORACLE),
    Published("Cohere Rerank 3.5 on OCI", _ON_OCI, 96, 128, 0.20, ORACLE),
    Published("cohere:rerank-v3.5", "the vendor's API", None, None, 0.595, AIMULTIPLE, price=_COHERE),
    Published("jina-reranker-v3", "not stated", None, None, 0.188, AIMULTIPLE),
    Published("Nemotron rerank", "not stated", None, None, 0.243, AIMULTIPLE),
)
