"""The nouns that people hold: hit, ranking, and the protocol of whatever ranks.

It knows the standard library only: no model, no tokens, no arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol, overload, runtime_checkable

HTML_TEXT_MAX = 300  # characters of a document shown in a notebook's table

Document = Any  # a str, a Mapping, or an object with `text`, `page_content` or `content`


@dataclass(frozen=True, slots=True)
class Hit:
    """One document's place in a ranking.

    Attributes:
        rank: 1 for the best.
        index: the document's position in the caller's input.
        score: the model's logit after its own activation; None when a deadline came before the document was scored.
        logit: the model's raw output, fp32; None from an API or when not scored.
        document: the caller's own object, the same by identity.
        text: what the model was given to read of it.
        tokens: length of `text` in the model's tokens, before any cut; of a huge text, or with `max_chars`, of
            what was tokenised of it.
        truncated: whether some of `text` was never read by the model.
        passage: characters of `text` (start, end) that gave the score: the best window of a long document.
        scored_by: the model that gave the score; None when not scored.
        probability: the calibrated probability of relevance, when a calibration is in use.
    """

    rank: int
    index: int
    score: float | None
    logit: float | None
    document: Document
    text: str
    tokens: int | None = None
    truncated: bool | None = None
    passage: tuple[int, int] | None = None
    scored_by: str | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranking(Sequence[Hit]):
    """Hits, best first; behaves like a tuple of them.

    Attributes:
        hits: the hits in order of rank.
        query: the query as given.
        timings: seconds by stage: `queue` (waiting for other callers' work), `tokenize`, `run`, `total`.
        usage: counts: `documents`, `pairs` (that went through the model), `cached`, `tokens`.
        fallback: why another ranker than the one that was asked, or the input's order, is the answer; else None.
    """

    hits: tuple[Hit, ...]
    query: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    fallback: str | None = None

    @overload
    def __getitem__(self, position: int) -> Hit: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, position: int | slice) -> Hit | tuple[Hit, ...]:
        """The hit at a 0-based position, or a tuple of hits for a slice."""
        return self.hits[position]

    def __len__(self) -> int:
        """The number of hits."""
        return len(self.hits)

    @property
    def documents(self) -> list[Document]:
        """The caller's own document objects, best first."""
        return [hit.document for hit in self.hits]

    @property
    def scores(self) -> list[float | None]:
        """Scores, best first; None where the deadline came first."""
        return [hit.score for hit in self.hits]

    @property
    def indices(self) -> list[int]:
        """Positions in the caller's input, best first."""
        return [hit.index for hit in self.hits]

    def to_dicts(self) -> list[dict[str, Any]]:
        """New dicts, best first: `{**document, "score": s}` for mappings, else `text`, `index` and `score`."""
        return [
            {**hit.document, "score": hit.score}
            if isinstance(hit.document, Mapping)
            else {"text": hit.text, "index": hit.index, "score": hit.score}
            for hit in self.hits
        ]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{hit.rank}</td><td>{'–' if hit.score is None else f'{hit.score:.4f}'}</td><td>{hit.index}</td>"
            f"<td style='text-align:left'>{escape(_shorten(hit.text))}</td></tr>"
            for hit in self.hits
        )
        head = "<tr><th>rank</th><th>score</th><th>index</th><th style='text-align:left'>text</th></tr>"
        return f"<table><caption>{escape(self.query)}</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _shorten(text: str) -> str:
    return text if len(text) <= HTML_TEXT_MAX else text[: HTML_TEXT_MAX - 1] + "…"


@runtime_checkable
class Ranker(Protocol):
    """Whatever ranks: the local model, a remote API, a cascade of both."""

    def rank(self, query: str, documents: Sequence[Document], *, top_k: int | None = None) -> Ranking:
        """The documents in order of relevance to the query, best first, at most `top_k` of them."""
        ...
