"""A ranker in the clothes of LangChain, LanceDB, LlamaIndex and Haystack: one module each, imported by its name."""
