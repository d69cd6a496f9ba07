"""Models in other files: as ONNX, checked against what they were made from; from pickles, whose code is never run.

It knows checkpoints and the engine; no terminal.
"""
