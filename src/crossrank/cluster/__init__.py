"""Beyond one machine: adapters that put a `Reranker` on Ray and Spark. The clusters themselves are others' business.

Nothing here is loaded by anything else but the command line, and Ray and Spark are imported where they are opened.
"""
