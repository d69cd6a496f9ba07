"""Measures rankers on this machine: models x documents x devices x precisions, each in a process of its own.

Importing it loads nothing: a child process measures how long it takes to begin.
"""
