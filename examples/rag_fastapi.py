"""A search service with FastAPI: BM25 retrieves, callers at a time share the reranker's batches."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI

from crossrank import Reranker
from crossrank.retrieve import Bm25Index

lines = (Path(__file__).parent / "amendments.jsonl").read_text(encoding="utf-8").splitlines()
folder = TemporaryDirectory()  # in an application a folder that stays: it is read again only where texts changed
search = Bm25Index.build(folder.name, map(json.loads, lines)) >> Reranker() % 3
app = FastAPI()


@app.get("/search")
async def find(q: str) -> list[dict[str, Any]]:
    """The three best, with their scores."""
    return [{"score": hit.score, **hit.document.document} for hit in await search.asearch(q)]


if __name__ == "__main__":  # or: uvicorn rag_fastapi:app
    from fastapi.testclient import TestClient

    print(TestClient(app).get("/search", params={"q": " ".join(sys.argv[1:]) or "prohibition of liquors"}).json())
