"""Many queries from files to a file: candidates of a run, documents of a corpus that need not fit into memory.

An interrupted job goes on where it stopped, and its output is the same as if it had not been. It knows no terminal.
"""
