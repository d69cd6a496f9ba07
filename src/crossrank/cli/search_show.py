"""What a search found, for a person, a program or a pipe: each hit with where it came from and how far it moved."""

import json
import sys
from typing import Any

from rich.text import Text

from crossrank.cli.console import terminal
from crossrank.cli.facts import say
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
    """A line or two a hit, as wide as the terminal; where there is none, why, and what to do."""
    console = terminal()
    if not result.candidates:
        say(
            "Nothing was found: no passage has a word of the query. Use other words, or --embedding-model NAME, "
            "which finds by meaning."
        )
        return
    origins = max([len("found by"), *(len(_origin(hit)) for hit in result)])
    head, found_by = f"{'#':>3}  {'score':>7}  {'moved':>6}  ", f"{'found by':<{origins}}  "
    if console.width - len(head + found_by) < TEXT_WIDTH_MIN:
        origins, found_by = 0, ""
    head += found_by
    width = max(TEXT_WIDTH_MIN // 2, console.width - len(head))
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
            (f"{_origin(hit):<{origins}}  " if origins else "", "dim"),
            text,
        )
        console.print(line, soft_wrap=True)
    took = ", ".join(f"{stage} {result.timings[stage] * 1000:.0f} ms" for stage in ("retrieve", "rank"))
    console.print(Text(f"{len(result)} of {result.candidates} candidates, {took}", style="dim"))


def _moved(hit: SearchHit) -> str:
    return f"{'▲' if hit.moved > 0 else '▼'}{abs(hit.moved)}" if hit.moved else "="


def _origin(hit: SearchHit) -> str:
    return ", ".join(f"{name} {rank}" for name, rank in hit.found.found_by.items())
