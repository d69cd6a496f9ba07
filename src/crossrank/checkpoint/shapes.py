"""The sizes of the known models, as data: what their speed depends on (their vocabularies hardly matter to it).

Facts are those of each model's config.json. It holds data only; tests count the parameters that follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossrank.checkpoint.families import FAMILIES

SAME = dict.fromkeys(("electra", "roberta", "xlm-roberta", "camembert", "xlm-roberta-flash"), "bert")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a forward pass costs.

    Attributes:
        family: as in `FAMILIES`; those that compute the same are one.
        layers: how many.
        hidden: width.
        heads: of attention.
        intermediate: width of the feed-forward layers.
        kv_heads: where groups of heads share keys and values; 0: as many as heads.
        head_size: where it is not hidden / heads; 0.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    kv_heads: int = 0
    head_size: int = 0

    @property
    def native(self) -> bool:
        """Whether the C++ engine runs it."""
        return FAMILIES[self.family].native

    @property
    def weights(self) -> int:
        """Weights of the layers: what each token is multiplied with."""
        head = self.head_size or self.hidden // self.heads
        queries, keys = self.heads * head, (self.kv_heads or self.heads) * head
        matrices = 3 if FAMILIES[self.family].gated else 2
        return self.layers * self.hidden * (2 * queries + 2 * keys + matrices * self.intermediate)

    def operations(self, tokens: int) -> int:
        """Multiplications and additions of a row of so many tokens, for comparing shapes."""
        head = self.head_size or self.hidden // self.heads
        return 2 * tokens * (self.weights + 2 * self.layers * self.heads * head * tokens)

    def __str__(self) -> str:
        """Short, and another for another shape."""
        shared = f"-kv{self.kv_heads}" if self.kv_heads else ""
        wide = f"x{self.head_size}" if self.head_size else ""
        return f"{self.family}-{self.layers}x{self.hidden}-{self.heads}{wide}{shared}-{self.intermediate}"


_BASE, _LARGE = (12, 768, 12, 3072), (24, 1024, 16, 4096)
_QWEN3_SMALL = ("qwen3", 28, 1024, 16, 3072, 8, 128)

_SIZES: Mapping[str, tuple[Any, ...]] = {  # family, layers, hidden, heads, intermediate, then what is peculiar
    "crossrank-mini": ("bert", 6, 384, 12, 1536),
    "cross-encoder/ms-marco-TinyBERT-L2-v2": ("bert", 2, 128, 2, 512),
    "cross-encoder/ms-marco-MiniLM-L2-v2": ("bert", 2, 384, 12, 1536),
    "cross-encoder/ms-marco-MiniLM-L4-v2": ("bert", 4, 384, 12, 1536),
    "cross-encoder/ms-marco-MiniLM-L6-v2": ("bert", 6, 384, 12, 1536),
    "cross-encoder/ms-marco-MiniLM-L12-v2": ("bert", 12, 384, 12, 1536),
    "cross-encoder/ms-marco-TinyBERT-L6": ("bert", 6, 768, 12, 3072),
    "cross-encoder/ms-marco-electra-base": ("electra", *_BASE),
    "crystina-z/monoELECTRA_LCE_nneg31": ("electra", *_BASE),
    "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1": ("xlm-roberta", 12, 384, 12, 1536),
    "cross-encoder/stsb-roberta-base": ("roberta", *_BASE),
    "cross-encoder/ettin-reranker-17m-v1": ("modernbert", 7, 256, 4, 384),
    "cross-encoder/ettin-reranker-32m-v1": ("modernbert", 10, 384, 6, 576),
    "cross-encoder/ettin-reranker-68m-v1": ("modernbert", 19, 512, 8, 768),
    "cross-encoder/ettin-reranker-150m-v1": ("modernbert", 22, 768, 12, 1152),
    "cross-encoder/ettin-reranker-400m-v1": ("modernbert", 28, 1024, 16, 2624),
    "cross-encoder/ettin-reranker-1b-v1": ("modernbert", 28, 1792, 28, 3840),
    "Alibaba-NLP/gte-reranker-modernbert-base": ("modernbert", 22, 768, 12, 1152),
    "BAAI/bge-reranker-base": ("xlm-roberta", *_BASE),
    "BAAI/bge-reranker-large": ("xlm-roberta", *_LARGE),
    "BAAI/bge-reranker-v2-m3": ("xlm-roberta", *_LARGE),
    "mixedbread-ai/mxbai-rerank-xsmall-v1": ("deberta-v2", 12, 384, 6, 1536),
    "mixedbread-ai/mxbai-rerank-base-v1": ("deberta-v2", *_BASE),
    "mixedbread-ai/mxbai-rerank-large-v1": ("deberta-v2", *_LARGE),
    "jinaai/jina-reranker-v1-tiny-en": ("jina-bert", 4, 384, 12, 1536),
    "jinaai/jina-reranker-v1-turbo-en": ("jina-bert", 6, 384, 12, 1536),
    "jinaai/jina-reranker-v2-base-multilingual": ("xlm-roberta-flash", *_BASE),
    "mixedbread-ai/mxbai-rerank-base-v2": ("qwen2", 24, 896, 14, 4864, 2),
    "mixedbread-ai/mxbai-rerank-large-v2": ("qwen2", 28, 1536, 12, 8960, 2),
    "Qwen/Qwen3-Reranker-0.6B": _QWEN3_SMALL,
    "Qwen/Qwen3-Reranker-4B": ("qwen3", 36, 2560, 32, 9728, 8, 128),
    "Qwen/Qwen3-Reranker-8B": ("qwen3", 36, 4096, 32, 12288, 8, 128),
    "tomaarsen/Qwen3-Reranker-0.6B-seq-cls": _QWEN3_SMALL,
    "BAAI/bge-reranker-v2-gemma": ("gemma", 18, 2048, 8, 16384, 1, 256),
    "BAAI/bge-reranker-v2-minicpm-layerwise": ("minicpm-layerwise", 40, 2304, 36, 5760),
}

SHAPES: Mapping[str, Shape] = {
    name: Shape(SAME.get(family, family), *sizes) for name, (family, *sizes) in _SIZES.items()
}
