"""One server that speaks every rerank dialect: `crossrank serve`.

It is given rankers whose calls can be awaited and never imports the engine: what answers may be a model of this machine
or a vendor's. It must not know tokens, weights or scores' arithmetic.
"""
