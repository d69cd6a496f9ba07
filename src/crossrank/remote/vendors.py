"""The vendors and servers that are known by name, as data: address, key, limits, and how they differ.

It knows no HTTP library. A model's name passes through unread: a newer one needs no release.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crossrank.remote.limits import Limits
from crossrank.wire import DIALECTS, Dialect

UNBOUNDED = Limits()


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who answers.

    Attributes:
        name: before the colon of a spec.
        title: in messages.
        dialect: how it is spoken to; None where it is found out at the first call.
        base_url: where it is; None for servers that people run themselves.
        key_variables: environment variables that hold the key, the first that is set counts.
        key_required: whether it answers nobody without a key.
        key_header: the header and what stands before the key in it.
        url_variable: an environment variable with another base URL.
        urls_by_key: base URLs by the beginning of the key.
        path: below the base URL, where it is not the dialect's; `{model}` is replaced.
        headers: sent with every call.
        limits: of one call; `model_limits` overrides them by the beginning of a model's name.
        limits_told: whether a server says itself how much a call may hold, which counts before `limits`.
        instruction: how an instruction is passed on: in a field, inside the query, or not at all.
        rank_fields: whether it reads the fields of an object by itself, in the order of `rank_fields`.
        truncate: whether it must be told that a document which does not fit may be cut: by default such fails the call.
        empty_refused: whether a document without text makes it refuse the call.
        listwise: models whose scores depend on the other documents, by the beginnings of their names.
    """

    name: str
    title: str
    dialect: Dialect | None
    base_url: str | None = None
    key_variables: tuple[str, ...] = ()
    key_required: bool = False
    key_header: tuple[str, str] = ("Authorization", "Bearer ")
    url_variable: str | None = None
    urls_by_key: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = UNBOUNDED
    model_limits: Mapping[str, Limits] = field(default_factory=dict)
    limits_told: bool = False
    instruction: Literal["field", "query", "none"] = "none"
    rank_fields: bool = False
    truncate: bool | None = None
    empty_refused: bool = False
    listwise: tuple[str, ...] = ()

    def limits_of(self, model: str | None) -> Limits:
        """The limits that hold for a model."""
        fitting = [name for name in self.model_limits if (model or "").startswith(name)]
        return self.model_limits[max(fitting, key=len)] if fitting else self.limits


_HOSTED = (
    Vendor(
        name="cohere",
        title="Cohere",
        dialect=DIALECTS["cohere"],
        base_url="https://api.cohere.com",
        key_variables=("COHERE_API_KEY", "CO_API_KEY"),
        key_required=True,
        url_variable="CO_API_URL",
        limits=Limits(documents_max=1_000),
        empty_refused=True,
    ),
    Vendor(
        name="voyage",
        title="Voyage",
        dialect=DIALECTS["voyage"],
        base_url="https://api.voyageai.com/v1",
        key_variables=("VOYAGE_API_KEY",),
        key_required=True,
        urls_by_key={"al-": "https://ai.mongodb.com/v1"},
        limits=Limits(documents_max=1_000, tokens_max=600_000, document_tokens_max=32_000),
        model_limits={
            "rerank-2": Limits(documents_max=1_000, tokens_max=600_000, document_tokens_max=16_000),
            "rerank-2-lite": Limits(documents_max=1_000, tokens_max=600_000, document_tokens_max=8_000),
            "rerank-2.5": Limits(documents_max=1_000, tokens_max=600_000, document_tokens_max=32_000),
            "rerank-1": Limits(documents_max=1_000, tokens_max=300_000, document_tokens_max=8_000),
            "rerank-lite-1": Limits(documents_max=1_000, tokens_max=300_000, document_tokens_max=4_000),
        },
        instruction="query",
        empty_refused=True,
    ),
    Vendor(
        name="jina",
        title="Jina",
        dialect=DIALECTS["jina"],
        base_url="https://api.jina.ai",
        key_variables=("JINA_API_KEY",),
        key_required=True,
        empty_refused=True,
        listwise=("jina-reranker-v3",),
    ),
    Vendor(
        name="mixedbread",
        title="Mixedbread",
        dialect=DIALECTS["mixedbread"],
        base_url="https://api.mixedbread.com",
        key_variables=("MXBAI_API_KEY",),
        key_required=True,
        url_variable="MIXEDBREAD_BASE_URL",
        rank_fields=True,
        empty_refused=True,
    ),
    Vendor(
        name="together",
        title="Together",
        dialect=DIALECTS["together"],
        base_url="https://api.together.ai/v1",
        key_variables=("TOGETHER_API_KEY",),
        key_required=True,
        url_variable="TOGETHER_BASE_URL",
        rank_fields=True,
        empty_refused=True,
    ),
    Vendor(
        name="pinecone",
        title="Pinecone",
        dialect=DIALECTS["pinecone"],
        base_url="https://api.pinecone.io",
        key_variables=("PINECONE_API_KEY",),
        key_required=True,
        key_header=("Api-Key", ""),
        url_variable="PINECONE_CONTROLLER_HOST",
        headers={"X-Pinecone-Api-Version": "2026-07"},
        limits=Limits(documents_max=100),
        model_limits={"cohere-rerank-3.5": Limits(documents_max=200)},
        empty_refused=True,
    ),
    Vendor(
        name="nvidia",
        title="NVIDIA NIM",
        dialect=DIALECTS["nvidia"],
        base_url="https://ai.api.nvidia.com",
        key_variables=("NVIDIA_API_KEY", "NGC_API_KEY"),
        key_required=True,
        path="/v1/retrieval/{model}/reranking",
        limits=Limits(documents_max=512),
        truncate=True,
        empty_refused=True,
    ),
)

_SERVERS = (
    Vendor(
        name="nim",
        title="the NIM server",
        dialect=DIALECTS["nvidia"],
        key_variables=("NIM_API_KEY",),
        url_variable="NIM_BASE_URL",
        limits=Limits(documents_max=512),
        truncate=True,
        empty_refused=True,
    ),
    Vendor(
        name="tei",
        title="the TEI server",
        dialect=DIALECTS["tei"],
        key_variables=("TEI_API_KEY",),
        url_variable="TEI_BASE_URL",
        limits=Limits(documents_max=32, bytes_max=2_000_000),  # its defaults
        limits_told=True,
        truncate=True,
        empty_refused=True,
    ),
    Vendor(
        name="vllm",
        title="the vLLM server",
        dialect=DIALECTS["vllm"],
        key_variables=("VLLM_API_KEY",),
        url_variable="VLLM_BASE_URL",
        truncate=True,
        instruction="field",
    ),
    Vendor(
        name="vllm-score",
        title="the vLLM server",
        dialect=DIALECTS["vllm-score"],
        key_variables=("VLLM_API_KEY",),
        url_variable="VLLM_BASE_URL",
        truncate=True,
        instruction="field",
    ),
    Vendor(
        name="infinity",
        title="the Infinity server",
        dialect=DIALECTS["infinity"],
        key_variables=("INFINITY_API_KEY",),
        url_variable="INFINITY_BASE_URL",
        limits=Limits(documents_max=2_048, document_characters_max=122_880, query_characters_max=122_880),
        empty_refused=True,
    ),
    Vendor(
        name="llamacpp",
        title="the llama.cpp server",
        dialect=DIALECTS["jina"],
        key_variables=("LLAMA_API_KEY",),
        url_variable="LLAMA_BASE_URL",
    ),
    Vendor(
        name="cohere-v1",
        title="the Cohere v1 server",
        dialect=DIALECTS["cohere-v1"],
        rank_fields=True,
        empty_refused=True,
    ),
    Vendor(
        name="crossrank",
        title="the crossrank server",
        dialect=DIALECTS["crossrank"],
        key_variables=("CROSSRANK_API_KEY",),
        url_variable="CROSSRANK_BASE_URL",
        instruction="field",
    ),
)

VENDORS: Mapping[str, Vendor] = {vendor.name: vendor for vendor in (*_HOSTED, *_SERVERS)}
