"""RAG with LangChain: retrieve many, rerank to three; what an LLM would be given is printed."""

import json
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from crossrank.integrations.langchain import CrossEncoderReranker, RerankingRetriever

lines = (Path(__file__).parent / "amendments.jsonl").read_text(encoding="utf-8").splitlines()
documents = [Document(page_content=row["text"], metadata={"title": row["title"]}) for row in map(json.loads, lines)]
# Your own embeddings and vector store go here; these find at random, which the reranker makes good.
store = InMemoryVectorStore.from_documents(documents, DeterministicFakeEmbedding(size=8))
retriever = RerankingRetriever(
    base_retriever=store.as_retriever(search_kwargs={"k": 50}), reranker=CrossEncoderReranker(top_n=3)
)

question = "When did alcohol become illegal?"
found = retriever.invoke(question)
context = "\n".join(f"{d.metadata['relevance_score']:.4f} {d.metadata['title']}: {d.page_content}" for d in found)
prompt = ChatPromptTemplate.from_template("Answer from this context:\n{context}\n\nQuestion: {question}")
print(prompt.invoke({"context": context, "question": question}).to_string())  # ... | your_model
