"""How a document that is longer than the model's room is cut: pure functions on token offsets.

It knows lengths, offsets and text; no models, tokenizers or scores.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LongDocuments = Literal["chunk", "truncate", "error"]
Offsets = Sequence[tuple[int, int]]  # per token: characters (start, end) of the text

WINDOWS_MAX = 32
OVERLAP_SHARE = 8  # neighbouring windows share a 1/8 of their tokens
SENTENCE_ENDS = ".!?。！？\n"
MEAN = re.compile(r"mean_top_([1-9]\d{0,4})")


@dataclass(frozen=True, slots=True)
class Windows:
    """The parts of a document that the model reads, as token ranges, and whether they leave something out."""

    ranges: tuple[tuple[int, int], ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How one logit comes of those of a document's windows.

    Attributes:
        best: how many of the best windows count; their mean is the document's logit.
        only_first: whether windows after the first are left unread.
    """

    best: int = 1
    only_first: bool = False


MAX = Aggregate()


def aggregate_of(name: str) -> Aggregate | None:
    """What "max", "first" or "mean_top_K" asks for; None for any other name.

    The first two are MaxP and FirstP of Dai and Callan 2019 (Deeper Text Understanding for IR with Contextual Neural
    Language Modeling); the third is between their MaxP and a mean over all windows.
    """
    if mean := MEAN.fullmatch(name):
        return Aggregate(best=int(mean[1]))
    return {"max": MAX, "first": Aggregate(only_first=True)}.get(name)


def beginning(text: str, characters: int) -> str:
    """At most this many characters of a text, up to a word's edge if there is one in their last quarter."""
    if len(text) <= characters:
        return text
    for end in range(characters, characters - characters // 4 - 1, -1):
        if text[end].isspace():
            return text[:end]
    return text[:characters]


def chunk(text: str, offsets: Offsets, room: int, windows_max: int) -> Windows:
    """Overlapping windows of at most `room` tokens that end with a sentence, else with a word, where one does."""
    ranges: list[tuple[int, int]] = []
    start, length = 0, len(offsets)
    while len(ranges) < windows_max:
        stop = length if length - start <= room else _edge(text, offsets, start + room - room // 4, start + room)
        ranges.append((start, stop))
        if stop == length:
            return Windows(tuple(ranges), truncated=False)
        start = max(start + 1, _word_start(offsets, stop - room // OVERLAP_SHARE, stop))
    return Windows(tuple(ranges), truncated=True)


def _edge(text: str, offsets: Offsets, low: int, high: int) -> int:
    """Where a window ends: after the last sentence in [low, high], else before the last word start, else at high."""
    words = [
        i for i in range(high, max(low, 1) - 1, -1) if offsets[i][0] > offsets[i - 1][1] or _spaced(text, offsets[i])
    ]
    for i in words:
        end = offsets[i - 1][1]
        if text[end - 1 : end] in SENTENCE_ENDS or "\n" in text[end : offsets[i][1]]:
            return i
    return words[0] if words else high


def _word_start(offsets: Offsets, low: int, high: int) -> int:
    """The first token in [low, high) that starts a word, else low."""
    return next((i for i in range(max(low, 1), high) if offsets[i][0] > offsets[i - 1][1]), low)


def _spaced(text: str, offset: tuple[int, int]) -> bool:
    return text[offset[0] : offset[0] + 1].isspace()


def longest_first(query: int, document: int, room: int) -> tuple[int, int]:
    """Tokens kept of query and document when both may be cut, as Hugging Face's `longest_first` truncation does.

    Source: tokenizers, src/utils/truncation.rs, TruncationStrategy::LongestFirst.
    """
    if query + document <= room:
        return query, document
    short, long = sorted((query, document))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if query > document else (short, long)
