"""Click logs as grades, with the bias of position taken out by what the eye must have passed.

Knows files of clicks; not models.
"""

from pathlib import Path

from crossrank.errors import InputFileError
from crossrank.train.jsonl import read_objects, text_of, texts_of


def read_clicks(file: Path) -> dict[str, dict[str, float]]:
    """By query and document: how often it was clicked of the times that it was examined, in 0..1.

    A line is `{"query": str, "shown": [texts, best first], "clicked": [0-based positions]}`. People read from the top
    and clicks are rare below, so a document without a click says something only if it was seen: the cascade model
    (Craswell et al. 2008) and "click > skip above" (Joachims et al. 2005) take as examined all that stand above the
    last click, and the one below it. What is further down is left out, and so are lists without any click.

    Raises:
        InputFileError: a line is broken, or no list has a click.
    """
    clicks: dict[str, dict[str, list[int]]] = {}
    for where, entry in read_objects(file):
        query, shown = text_of(entry, "query", where), texts_of(entry, "shown", where)
        clicked = entry.get("clicked")
        if not isinstance(clicked, list) or not all(type(p) is int and 0 <= p < len(shown) for p in clicked):
            raise InputFileError(
                f"{where}: 'clicked' must be a list of positions in 'shown' (0 to {len(shown) - 1}), not {clicked!r}."
            )
        if clicked:
            counts = clicks.setdefault(query, {})
            for position, text in enumerate(shown[: max(clicked) + 2]):
                count = counts.setdefault(text, [0, 0])
                count[0] += position in clicked
                count[1] += 1
    if not clicks:
        raise InputFileError(f"{file} holds no click; there is one class only and nothing to learn from.")
    return {query: {text: hits / seen for text, (hits, seen) in counts.items()} for query, counts in clicks.items()}
