"""A reranker of dicts with a `content`, as many applications have one of their own. It knows the public API only."""

from collections.abc import Mapping, Sequence
from typing import Any

from crossrank.arguments import check_iterable
from crossrank.errors import ArgumentTypeError, DocumentError
from crossrank.reranker import Reranker


class CrossEncoderReranker:
    """Reranks dicts with a `content`: `rerank(query, documents, top_k=10) -> [{**document, "score": float}]`."""

    def __init__(self, model_name: str | None = None, *, device: str | None = None) -> None:
        self._reranker = Reranker(model_name, device=device or "auto")

    def rerank(self, query: str, documents: Sequence[Mapping[str, Any]], top_k: int = 10) -> list[dict[str, Any]]:
        """New dicts, best first, at most `top_k`; the given ones are not changed."""
        texts = []
        for i, document in enumerate(check_iterable("documents", documents, "dicts with a 'content'")):
            if not isinstance(document, Mapping):
                raise ArgumentTypeError(
                    f"documents[{i}] is {type(document).__name__}; give dicts with a 'content'. "
                    "For other documents use Reranker().rank()"
                )
            if not isinstance(document.get("content"), str):
                raise DocumentError(
                    f"documents[{i}] has no text in 'content'; its fields are: "
                    f"{', '.join(map(repr, document)) or '(none)'}"
                )
            texts.append(document["content"])
        ranking = self._reranker.rank(query, texts, top_k=top_k)
        return [{**documents[hit.index], "score": hit.score} for hit in ranking]
