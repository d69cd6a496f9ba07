"""Which names of models mean a remote reranker. It is read without the extra's libraries, so it knows none of them."""

import re

NAMES = (
    "cohere",
    "voyage",
    "jina",
    "mixedbread",
    "together",
    "pinecone",
    "nvidia",
    "nim",
    "tei",
    "vllm",
    "vllm-score",
    "infinity",
    "llamacpp",
    "cohere-v1",
    "crossrank",
)
URL = re.compile(r"https?://", re.IGNORECASE)


def is_remote(model: object) -> bool:
    """Whether a model's name means a remote reranker: a URL, or a vendor's name before a colon."""
    if not isinstance(model, str):
        return False
    name, colon, _ = model.partition(":")
    return URL.match(model) is not None or (bool(colon) and name in NAMES)
