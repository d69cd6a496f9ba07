"""Which parts of a document make its score. It knows whatever scores pairs of texts; not models, tokens or HTTP."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import check_query
from crossrank.documents.texts import as_documents
from crossrank.errors import ArgumentTypeError, NotFiniteError, UsageError
from crossrank.explain.shares import shares
from crossrank.explain.units import Ranges, grouped, sentences, words
from crossrank.types import Document

Unit = Literal["sentence", "word"]

UNITS_MAX: Mapping[Unit, int] = {"sentence": 64, "word": 256}  # of more, neighbours are taken together
CHARACTERS_MAX = 20_000  # of a text that is explained as a whole; of a longer one, the passage that gave the score is
NOTHING = "."  # for who takes no empty document


@runtime_checkable
class Scores(Protocol):
    """What can be explained: whatever scores pairs, and perhaps ranks."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """A number a pair, in order; with `raw=True`, where it is known, logits."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a document and what it does to the score.

    Attributes:
        start: of its characters in the explanation's `text`.
        end: of the same.
        text: `text[start:end]`.
        share: what it adds to the score, on the explanation's `scale`; below 0 where it takes away.
    """

    start: int
    end: int
    text: str
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation(Sequence[Span]):
    """The parts of a document in their order; behaves like a tuple of them. Shares add up to `whole` - `empty`.

    Attributes:
        spans: the parts.
        query: the query as given.
        text: what the model reads of the document: `hit.text`.
        unit: "sentence" or "word"; of a long text a span is several neighbours.
        passage: characters (start, end) of `text` that are explained: all of it, or what gave the score of a long one.
        scale: "logit", or "score" of rankers that give no logits.
        whole: the score of the passage.
        empty: the score of a document without text.
        scored: different pairs that were scored for it.
    """

    spans: tuple[Span, ...]
    query: str
    text: str
    unit: Unit
    passage: tuple[int, int]
    scale: Literal["logit", "score"]
    whole: float
    empty: float
    scored: int

    @overload
    def __getitem__(self, position: int) -> Span: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Span, ...]: ...
    def __getitem__(self, position: int | slice) -> Span | tuple[Span, ...]:
        """The span at a 0-based position, or a tuple of spans for a slice."""
        return self.spans[position]

    def __len__(self) -> int:
        """The number of spans."""
        return len(self.spans)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return asdict(self)


def explain(
    ranker: Scores,
    query: str,
    document: Document,
    *,
    unit: Unit = "sentence",
    fields: Sequence[str] | None = None,
) -> Explanation:
    """What each sentence or word of a document adds to its score.

    Each part is left out, and given alone, all in one batch; `crossrank.explain.shares` makes shares of it. The passage
    that gave the score of a long document comes from a call of `rank` before, where the ranker has one.

    Args:
        ranker: whatever has `score(pairs)`: a Reranker, a RemoteReranker, or an object of yours.
        query: what is asked; not empty.
        document: a string, a mapping, or an object with a text.
        unit: "sentence" (and line), at most 64, or "word", at most 256; of a longer text neighbours are taken together.
            Words are those of the passage that gave the score. Sentences are those of the whole text, unless it has
            more than 20,000 characters or was not read to its end: then they are the passage's too.
        fields: of mappings, the fields the model reads, in this order, as YAML.

    Raises:
        UsageError, ArgumentTypeError: a value or type that cannot be taken.
    """
    if unit not in get_args(Unit):
        raise UsageError(f"unit={unit!r} is not known; give 'sentence' or 'word'")
    if not isinstance(ranker, Scores):
        raise ArgumentTypeError(f"{type(ranker).__name__} has no score(pairs), which explaining asks")
    check_query(query)
    (item,) = as_documents([document], fields)
    text = item.text
    passage = _passage(ranker, query, text, unit)
    ranges = _ranges(text, passage, unit)
    parts = _parts(text, passage, ranges)
    start, end = passage
    asked = [text[start:end] if parts else "", ""]
    asked += ["".join((*parts[:i], *parts[i + 1 :])).strip() for i in range(len(parts))]
    asked += [part.strip() for part in parts]
    scale, values = _scored(ranker, query, asked)
    whole, empty, n = float(values[0]), float(values[1]), len(parts)
    found = shares(whole, empty, values[2 : 2 + n], values[2 + n :]) if n else np.empty(0)
    spans = tuple(Span(a, b, text[a:b], float(share)) for (a, b), share in zip(ranges, found, strict=True))
    return Explanation(spans, query, text, unit, passage, scale, whole, empty, len(set(asked)))


def _passage(ranker: Any, query: str, text: str, unit: Unit) -> tuple[int, int]:
    """Characters of what is explained."""
    hit = ranker.rank(query, [text])[0] if callable(getattr(ranker, "rank", None)) else None
    everything = (0, len(text))
    read = getattr(hit, "passage", None) or everything
    cut = bool(getattr(hit, "truncated", None)) or len(text) > CHARACTERS_MAX
    return read if unit == "word" or cut else everything


def _ranges(text: str, passage: tuple[int, int], unit: Unit) -> Ranges:
    found = (sentences if unit == "sentence" else words)(text, *passage)
    return grouped(found or sentences(text, *passage), UNITS_MAX[unit])  # a text may have no word: "!!!"


def _parts(text: str, passage: tuple[int, int], ranges: Ranges) -> list[str]:
    """The passage cut into as many parts: each goes on to where the next one starts, the first begins with it."""
    edges = [passage[0], *(start for start, _ in ranges[1:]), passage[1]]
    return [text[a:b] for a, b in pairwise(edges)] if ranges else []


def _scored(ranker: Any, query: str, texts: Sequence[str]) -> tuple[Literal["logit", "score"], NDArray[np.float64]]:
    """Float64 [n], each different text scored once: logits where there are any, else scores."""
    different = list(dict.fromkeys(texts))
    scale, found = _values(ranker, [(query, text) for text in different])
    known = dict(zip(different, found, strict=True))
    if math.isnan(known[""]):  # a vendor that takes no document without text
        known[""] = _values(ranker, [(query, NOTHING)])[1][0]
    if broken := [text for text in different if not math.isfinite(known[text])]:
        raise NotFiniteError(f"the ranker gives no finite number for {broken[0][:60]!r}, so its parts have no shares")
    return scale, np.array([known[text] for text in texts], np.float64)


def _values(ranker: Any, pairs: list[tuple[str, str]]) -> tuple[Literal["logit", "score"], list[float]]:
    try:
        return "logit", [float(value) for value in ranker.score(pairs, raw=True)]
    except (TypeError, UsageError):  # someone's own object without `raw`, a vendor without logits
        return "score", [float(value) for value in ranker.score(pairs)]
