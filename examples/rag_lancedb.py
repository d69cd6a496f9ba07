"""RAG with LanceDB: hybrid search in an embedded database, reranked to three; the context is printed."""

import json
import tempfile
from pathlib import Path

import lancedb
from lancedb.index import FTS

from crossrank.integrations.lancedb import CrossEncoderReranker


def embed(text: str) -> list[float]:
    """Counts of letters; your own embedding model goes here."""
    return [float(text.lower().count(letter)) for letter in "abcdefghijklmnop"]


question = "When did alcohol become illegal?"
lines = (Path(__file__).parent / "amendments.jsonl").read_text(encoding="utf-8").splitlines()
rows = [{**row, "vector": embed(row["text"])} for row in map(json.loads, lines)]
with tempfile.TemporaryDirectory() as folder:
    table = lancedb.connect(folder).create_table("amendments", rows)
    table.create_index("text", config=FTS())
    search = table.search(query_type="hybrid").vector(embed(question)).text(question).limit(50)
    for row in search.rerank(CrossEncoderReranker()).to_list()[:3]:
        print(f"{row['_relevance_score']:.4f} {row['title']}: {row['text']}")
