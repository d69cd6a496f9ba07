"""RAG with LlamaIndex: retrieve many, rerank to three; what an LLM would be given is printed."""

import json
from pathlib import Path

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import TextNode

from crossrank.integrations.llamaindex import CrossEncoderPostprocessor

lines = (Path(__file__).parent / "amendments.jsonl").read_text(encoding="utf-8").splitlines()
nodes = [TextNode(text=row["text"], metadata={"title": row["title"]}) for row in map(json.loads, lines)]
# Your own embedding model goes here; this one finds at random, which the reranker makes good.
index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8))
reranker = CrossEncoderPostprocessor(top_n=3)

question = "When did alcohol become illegal?"
found = reranker.postprocess_nodes(index.as_retriever(similarity_top_k=50).retrieve(question), query_str=question)
for node in found:  # index.as_query_engine(llm=..., node_postprocessors=[reranker]) does it all, with an LLM
    print(f"{node.score:.4f} {node.metadata['title']}: {node.text}")
