"""RAG with Haystack: a pipeline that retrieves many and reranks to three; what an LLM would be given is printed."""

import json
from pathlib import Path

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.rankers.crossrank import CrossEncoderRanker

TEMPLATE = (
    "{% for d in documents %}{{ d.score }} {{ d.meta.title }}: {{ d.content }}\n{% endfor %}Question: {{ query }}"
)

lines = (Path(__file__).parent / "amendments.jsonl").read_text(encoding="utf-8").splitlines()
store = InMemoryDocumentStore()
store.write_documents([Document(content=row["text"], meta={"title": row["title"]}) for row in map(json.loads, lines)])

pipeline = Pipeline()
pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=50))
pipeline.add_component("ranker", CrossEncoderRanker(top_k=3))
pipeline.add_component("prompt", PromptBuilder(TEMPLATE, required_variables=["documents", "query"]))
pipeline.connect("retriever.documents", "ranker.documents")
pipeline.connect("ranker.documents", "prompt.documents")

question = "Which amendment prohibits intoxicating liquors?"
result = pipeline.run({name: {"query": question} for name in ("retriever", "ranker", "prompt")})
print(result["prompt"]["prompt"])  # connect it to your generator
