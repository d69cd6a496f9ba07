"""Answers back to the texts that they are about: by index, checked, never by position.

It knows answers and texts; not how they were had.
"""

from collections.abc import Sequence

from crossrank.wire import Answer, Item, WireError

NAMED_MAX = 5  # positions that a message names


def by_text(answer: Answer, texts: Sequence[str]) -> dict[str, Item]:
    """Each text's item; WireError unless there is exactly one for each of the texts, which are all different."""
    found: dict[int, Item] = {}
    for item in answer.items:
        if not 0 <= item.index < len(texts):
            raise WireError(f"index {item.index} is out of range: {len(texts)} documents were sent")
        if item.index in found:
            raise WireError(f"index {item.index} comes twice")
        found[item.index] = item
    if missing := [str(index) for index in range(len(texts)) if index not in found]:
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        raise WireError(f"no result for index {', '.join(missing[:NAMED_MAX])}{more} of {len(texts)} documents")
    return {texts[index]: item for index, item in found.items()}
