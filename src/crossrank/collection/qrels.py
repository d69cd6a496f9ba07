"""Judgements: which document is relevant to which query, and how much, from BEIR's table or TREC's."""

from collections.abc import Mapping
from pathlib import Path

from crossrank.collection.lines import numbered_lines
from crossrank.errors import InputFileError

Qrels = Mapping[str, Mapping[str, int]]  # grade by query id and document id; above 0 is relevant


def read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """Grades from BEIR's TSV (with its header: query, document, grade) or TREC's four columns."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in numbered_lines(file):
        parts = line.split()
        if not parts or (number == 1 and parts[-1] == "score"):
            continue
        try:
            query, document, grade = (
                (parts[0], parts[-2], int(parts[-1])) if len(parts) in (3, 4) else ("", "", int(""))
            )
        except ValueError:
            raise InputFileError(
                f"{file}, line {number}: {line.strip()[:80]!r} is no judgement; give `query-id corpus-id grade` "
                "(tab separated) or TREC's `query 0 document grade`, the grade a whole number."
            ) from None
        known = qrels.setdefault(query, {})
        if known.get(document, grade) != grade:
            raise InputFileError(
                f"{file}, line {number}: {query} {document} is judged {grade}, and {known[document]} above."
            )
        known[document] = grade
    if not qrels:
        raise InputFileError(f"{file} holds no judgements.")
    return qrels
