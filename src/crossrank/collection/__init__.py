"""Test collections in the formats of the field: queries and documents as JSON lines (BEIR), judgements, TREC runs.

It knows files and formats; not rankers, measures or models.
"""

from crossrank.collection.beir import Collection, read_collection
from crossrank.collection.qrels import Qrels, read_qrels
from crossrank.collection.runs import Run, read_run, write_run
from crossrank.collection.texts import read_texts

__all__ = ["Collection", "Qrels", "Run", "read_collection", "read_qrels", "read_run", "read_texts", "write_run"]
