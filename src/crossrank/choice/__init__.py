"""Which reranker to take: the catalogue and the vendors' APIs against what somebody needs, by published quality and by
latency measured here. It knows figures and where they are from; no terminal, and no text of a caller.
"""
