"""Calls to a server: the body that each path takes, and what parsers stumble over."""

import random
from typing import Any

from crossrank.server.routes import CALLS

QUERY = "abcd"
TEXTS = ["a", "abcd", "xyz", "abc"]
SHARED = {"/v1/rerank", "/v2/rerank", "/rerank", "/", "/invocations", "/reranking", "/v1/reranking"}
SCORES = ("/score", "/v1/score", "/vllm/score", "/vllm/v1/score")


def call_of(path: str, **more: Any) -> dict[str, Any]:
    """A call's body as the path's first dialect has it."""
    dialect = CALLS[path].first
    if path in SCORES:
        return {"text_1": QUERY, "text_2": TEXTS, **more}
    if dialect.name == "nvidia":
        return {"model": "m", "query": {"text": QUERY}, "passages": [{"text": text} for text in TEXTS], **more}
    if dialect.name == "pinecone":
        return {"model": "m", "query": QUERY, "documents": [{"text": text} for text in TEXTS], **more}
    named = {"tei": "texts", "mixedbread": "input"}.get(dialect.name, "documents")
    return {"model": "m", "query": QUERY, named: TEXTS, **more}


def mutated(random: random.Random, body: bytes) -> bytes:
    """A body with some of it changed, doubled, cut out or replaced by what parsers stumble over."""
    said = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(said) + 1)
        match random.randrange(5):
            case 0:
                said[at:at] = random.choice(
                    [b"null", b"NaN", b"1e400", b"[", b"}", b'"', b"\\ud83d", b"\xff", b"-1", b"\\"]
                )
            case 1:
                del said[at : at + random.randint(1, 9)]
            case 2:
                said[at:at] = said[at : at + random.randint(1, 40)]
            case 3 if at < len(said):
                said[at] = random.randrange(256)
            case _:
                said = said.replace(
                    b'"' + QUERY.encode() + b'"', random.choice([b"0", b"{}", b"[]", b'""', b"null"]), 1
                )
    return bytes(said)
