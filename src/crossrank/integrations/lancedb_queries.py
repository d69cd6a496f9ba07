"""The words of LanceDB's queries, whatever their kind. It imports nothing of LanceDB's."""

from typing import Any

from crossrank.errors import ArgumentTypeError


def text_of(query: Any) -> str:
    """The words of a query: a str, or one of LanceDB's full-text queries, whose wanted parts count."""
    if isinstance(query, str):
        return query
    if (positive := getattr(query, "positive", None)) is not None:
        return text_of(positive)
    if (queries := getattr(query, "queries", None)) is not None:
        return " ".join(text_of(part) for occur, part in queries if "not" not in str(occur).lower())
    if isinstance(text := getattr(query, "query", None), str):
        return text
    raise ArgumentTypeError(f"query is {type(query).__name__}; give its text: .rerank(reranker, query_string=...)")
