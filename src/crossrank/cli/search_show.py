"""What a search found, for a person, a program or a pipe: each hit with where it came from and how far it moved."""

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from crossrank.cli.printable import printable
from crossrank.retrieve import SearchHit, SearchResult

SCHEMA_VERSION = 1  # of the JSON document; raised when a field changes its meaning or goes
TEXT_WIDTH_MIN = 20


def print_search_json(result: SearchResult) -> None:
    """One JSON document."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "query": result.query,
        "candidates": result.candidates,
        "hits": [
            {
                "rank": hit.rank,
                "line": hit.document.line,
                "score": hit.score,
                "logit": hit.hit.logit,
                **({} if hit.fused is None else {"fused": hit.fused}),
                "found_at": hit.found_at,
                "found_by": dict(hit.found.found_by),
                "retrieval_score": hit.found.score,
                "moved": hit.moved,
                "text": hit.text,
                **({} if isinstance(given := hit.document.document, str) else {"document": given}),
            }
            for hit in result
        ],
        "timings": {stage: round(seconds, 6) for stage, seconds in result.timings.items()},
    }
    sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def print_search_tsv(result: SearchResult) -> None:
    """A line a hit: rank, score, rank before, retrievers with their ranks, line, text."""
    for hit in result:
        score = "" if hit.score is None else f"{hit.score:.6f}"
        sys.stdout.write(
            f"{hit.rank}\t{score}\t{hit.found_at}\t{_origin(hit)}\t{hit.document.line}\t{printable(hit.text)}\n"
        )


def print_search_table(result: SearchResult) -> None:
    """A line or two a hit, as wide as the terminal."""
    console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False, markup=False)
    origins = max([len("found by"), *(len(_origin(hit)) for hit in result)])
    head = f"{'#':>3}  {'score':>7}  {'moved':>6}  {'found by':<{origins}}  "
    width = max(TEXT_WIDTH_MIN, console.width - len(head))
    console.print(Text(head + "passage", style="dim"), soft_wrap=True)
    for hit in result:
        score = "-" if hit.score is None else f"{hit.score:.4f}"
        colour = "green" if hit.moved > 0 else "red" if hit.moved < 0 else "dim"
        text = Text(printable(hit.text))
        text.truncate(width, overflow="ellipsis")
        line = Text.assemble(
            (f"{hit.rank:>3}  ", "dim"),
            f"{score:>7}  ",
            (f"{_moved(hit):>6}  ", colour),
            (f"{_origin(hit):<{origins}}  ", "dim"),
            text,
        )
        console.print(line, soft_wrap=True)
    took = ", ".join(f"{stage} {result.timings[stage] * 1000:.0f} ms" for stage in ("retrieve", "rank"))
    found = f"{len(result)} of {result.candidates} candidates" if result.candidates else "Nothing was found"
    console.print(Text(f"{found}, {took}", style="dim"), soft_wrap=True)


def _moved(hit: SearchHit) -> str:
    return f"{'▲' if hit.moved > 0 else '▼'}{abs(hit.moved)}" if hit.moved else "="


def _origin(hit: SearchHit) -> str:
    return ", ".join(f"{name} {rank}" for name, rank in hit.found.found_by.items())
