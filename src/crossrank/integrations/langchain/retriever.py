"""A retriever of LangChain's that reranks what another one finds."""

from typing import Any

from crossrank.integrations.asking import missing
from crossrank.integrations.langchain.reranker import CrossEncoderReranker

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.retrievers import BaseRetriever, RetrieverLike
    from pydantic import ConfigDict, Field
except ImportError as exc:
    raise missing("langchain-core 1.2.19 or newer", "langchain", exc) from exc


class RerankingRetriever(BaseRetriever):
    """Retrieves with one retriever and reranks what it finds; langchain-classic is not needed for it."""

    base_retriever: RetrieverLike
    reranker: BaseDocumentCompressor = Field(default_factory=CrossEncoderReranker)

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        found = self.base_retriever.invoke(query, config={"callbacks": run_manager.get_child()}, **kwargs)
        return list(self.reranker.compress_documents(found, query, callbacks=run_manager.get_child())) if found else []

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        found = await self.base_retriever.ainvoke(query, config={"callbacks": run_manager.get_child()}, **kwargs)
        if not found:
            return []
        return list(await self.reranker.acompress_documents(found, query, callbacks=run_manager.get_child()))
