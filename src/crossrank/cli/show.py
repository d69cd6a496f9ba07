"""A ranking as a program reads it (JSON) or as a pipe does (tabs); documents are lines of a file."""

import json
import sys

from crossrank.cli.printable import printable
from crossrank.errors import DocumentError
from crossrank.types import Ranking

SCHEMA_VERSION = 1  # of the JSON document; raised when a field changes its meaning or goes


def print_json(ranking: Ranking) -> None:
    """One JSON document."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "query": ranking.query,
        "hits": [
            {
                "rank": hit.rank,
                "index": hit.index,
                "line": hit.document.line,
                "score": hit.score,
                "logit": hit.logit,
                **({} if hit.probability is None else {"probability": hit.probability}),
                "text": hit.text,
                **({} if isinstance(hit.document.document, str) else {"document": hit.document.document}),
                "tokens": hit.tokens,
                "truncated": hit.truncated,
                "passage": hit.passage,
                "scored_by": hit.scored_by,
            }
            for hit in ranking
        ],
        "usage": dict(ranking.usage),
        "timings": {stage: round(seconds, 6) for stage, seconds in ranking.timings.items()},
    }
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    except RecursionError:
        raise DocumentError("A document is nested too deeply to be printed as JSON; leave out --json.") from None
    sys.stdout.write(text + "\n")


def print_tsv(ranking: Ranking) -> None:
    """A line a hit: rank, score, index, text; white space inside a text becomes a space, control characters go."""
    for hit in ranking:
        score = "" if hit.score is None else f"{hit.score:.6f}"
        sys.stdout.write(f"{hit.rank}\t{score}\t{hit.index}\t{printable(hit.text)}\n")
