"""What there is to choose from: the bundled model, the catalogue, and the vendors' APIs, as values of one kind.

It knows facts that were published; not what anybody needs, nor how long anything takes here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from crossrank.checkpoint.catalogue import KNOWN, KnownModel
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.shapes import SHAPES, Shape
from crossrank.remote.costs import Price, price_of

READ = "2026-11-21"


@dataclass(frozen=True, slots=True)
class Quoted:
    """A latency that somebody published.

    Attributes:
        ms: milliseconds.
        setting: of what; it is hardly ever the reader's.
        source: who published it.
        date: when, or when it was read.
        at_least: whether the figure only says that it takes so long or longer.
    """

    ms: float
    setting: str
    source: str
    date: str
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A reranker that can be had.

    Attributes:
        name: what `Reranker` takes.
        languages: as published, for people.
        codes: ISO 639-1 codes; empty where it is meant for more than anybody lists.
        licence: of the weights; "API" for a vendor's.
        commercial: whether it allows commercial use; None where that is not stated.
        max_length: tokens of query and document together that are read at once.
        structured: what is published about objects with fields.
        shape: of a model for this machine; None for an API, and for those that only transformers runs.
        local: whether texts stay on this machine.
        engines: what runs it.
        on_demand: whether it is opened with `allow_unverified` only.
        quoted: latency, of an API.
        price: of an API, where it is known.
    """

    name: str
    languages: str
    codes: frozenset[str]
    licence: str
    commercial: bool | None
    max_length: int
    structured: str = ""
    shape: Shape | None = None
    local: bool = True
    engines: str = ""
    on_demand: bool = False
    quoted: Quoted | None = None
    price: Price | None = None

    def covers(self, language: str) -> bool:
        """Whether it is meant for a language, as far as is published."""
        return not self.codes or language in self.codes


_ORACLE = "Oracle, benchmarks of Cohere Rerank 3.5 on a dedicated cluster (docs.oracle.com)"
_ZEROENTROPY = "ZeroEntropy, latency of zerank-2 (a competitor; zeroentropy.dev)"
_AGENTSET = "agentset.ai, page of the model"
_COHERE_JSON = "semi-structured data (Cohere's documentation)"

LATENCIES: Mapping[str, Quoted] = {
    "cohere:rerank-v3.5": Quoted(
        200, "96 documents of 128 tokens, on hardware of one's own, without a network", _ORACLE, READ, at_least=True
    ),
    "voyage:rerank-2.5": Quoted(
        150, "80 % of calls with 50 documents of up to 2 kB took longer", _ZEROENTROPY, READ, at_least=True
    ),
    "jina:jina-reranker-v2-base-multilingual": Quoted(746, "50 documents, the mean of six sets", _AGENTSET, READ),
}


def _api(name: str, languages: str, max_length: int, structured: str = "") -> Offer:
    vendor, _, model = name.partition(":")
    return Offer(
        name,
        languages,
        frozenset({"en"} if languages == "en" else ()),
        licence="API",
        commercial=True,
        max_length=max_length,
        structured=structured,
        local=False,
        quoted=LATENCIES.get(name),
        price=price_of(vendor, model),
    )


APIS = (
    _api("cohere:rerank-v4.0-pro", "100+ languages", 32_768, _COHERE_JSON),
    _api("cohere:rerank-v4.0-fast", "100+ languages", 32_768, _COHERE_JSON),
    _api("cohere:rerank-v3.5", "100+ languages", 4_096, _COHERE_JSON),
    _api("voyage:rerank-2.5", "many", 32_000),
    _api("voyage:rerank-2.5-lite", "many", 32_000),
    _api("jina:jina-reranker-v3", "93 languages", 131_072),
    _api("jina:jina-reranker-m0", "29 languages", 10_240),
    _api("jina:jina-reranker-v2-base-multilingual", "108 languages", 1_024, "tables (its card, TableSearch)"),
)


def offers() -> tuple[Offer, ...]:
    """All of them: models for this machine first."""
    return (*(_local(model) for model in KNOWN), *APIS)


def _local(model: KnownModel) -> Offer:
    api = next((api for api in APIS if api.name.partition(":")[2] == model.name.partition("/")[2]), None)
    return Offer(
        model.name,
        model.languages,
        model.language_codes,
        model.licence,
        model.commercial,
        model.max_length,
        structured=api.structured if api else "",
        shape=None if FAMILIES[model.family].foreign else SHAPES[model.name],
        engines=model.engines,
        on_demand=model.on_demand,
    )
