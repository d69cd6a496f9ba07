"""From what a caller asks to what a vendor is asked, and from what comes back to a ranking.

It knows documents, texts, items and hits; not how an answer is had.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrank.arguments import Wanted, check_iterable, check_pair
from crossrank.documents.texts import TextDocument, text_of
from crossrank.rankers import Call
from crossrank.remote.scorer import Asked, Outcome
from crossrank.types import Document, Hit, Ranking


@dataclass(frozen=True, slots=True)
class Question:
    """A query and documents, checked, with what is wanted of their ranking."""

    query: str
    items: Sequence[TextDocument]
    wanted: Wanted
    fields: Sequence[str] | None
    priority: int
    asked: Asked

    @classmethod
    def of(
        cls,
        query: str,
        items: Sequence[TextDocument],
        *,
        wanted: Wanted,
        fields: Sequence[str] | None,
        priority: int,
        instruction: str | None,
        deadline: float | None,
    ) -> "Question":
        """The question, of checked parts; equal texts are asked about once."""
        asked = Asked(
            query,
            tuple(dict.fromkeys(item.text for item in items)),
            instruction=instruction,
            fields=None if fields is None else tuple(fields),
            objects=_objects(items, fields),
            deadline=deadline,
        )
        return cls(query, items, wanted, fields, priority, asked)

    def call(self, documents: Sequence[Document]) -> Call:
        """The same, for another ranker to answer in what time is left: an instruction is the vendor's, and stays."""
        return Call(
            self.query,
            documents,
            self.wanted.top_k,
            self.wanted.threshold,
            self.fields,
            deadline=self.asked.deadline,
            priority=self.priority,
        )

    def ranking(self, outcome: Outcome, seconds: float) -> Ranking:
        """The hits that are wanted: by score, then those that came too late, then those that nobody reads."""
        order = sorted(range(len(self.items)), key=lambda i: _place(self.items[i].text, outcome))
        hits: list[Hit] = []
        for i in order:
            text = self.items[i].text
            score = found.score if (found := outcome.items.get(text)) else None
            nothing_there = text in outcome.unread and self.wanted.threshold is not None
            if self.wanted.keeps(score, len(hits)) and not nothing_there:
                hits.append(_hit(len(hits) + 1, i, self.items[i], outcome))
        usage = {"documents": len(self.items), **outcome.usage}
        return Ranking(tuple(hits), self.query, {"run": outcome.run_s, "total": seconds}, usage)


def by_query(
    pairs: Iterable[tuple[str, Document]], instruction: str | None, *, raw: bool
) -> tuple[list[Asked], list[tuple[str, str]]]:
    """One question for each different query, and the pairs as texts, in the caller's order."""
    checked = []
    texts: dict[str, dict[str, None]] = {}
    for i, pair in enumerate(check_iterable("pairs", pairs, "(query, document) tuples")):
        query, document = check_pair(pair, i)
        text = text_of(document, f"the document of pairs[{i}]")
        checked.append((query, text))
        texts.setdefault(query, {})[text] = None
    return [Asked(query, tuple(one), instruction=instruction, raw=raw) for query, one in texts.items()], checked


def scores_of(checked: Sequence[tuple[str, str]], outcomes: Mapping[str, Outcome]) -> NDArray[np.float32]:
    """Scores float32 [n] of the pairs; NaN for a text that the vendor does not take."""
    found = [outcomes[query].items.get(text) for query, text in checked]
    return np.array([math.nan if item is None else item.score for item in found], np.float32)


def _objects(items: Sequence[TextDocument], fields: Sequence[str] | None) -> dict[str, dict[str, str]]:
    """The wanted fields by text, where all are keys of texts: what is more structured, or a path, goes as YAML."""
    if fields is None:
        return {}
    return {
        item.text: {field: item.document[field] for field in fields}
        for item in items
        if isinstance(item.document, Mapping) and all(isinstance(item.document.get(field), str) for field in fields)
    }


def _place(text: str, outcome: Outcome) -> tuple[int, float]:
    """Where a text ranks; sorted() is stable, so equal places keep the caller's order."""
    item = outcome.items.get(text)
    return (0, -item.score) if item is not None else (2 if text in outcome.unread else 1, 0.0)


def _hit(rank: int, index: int, document: TextDocument, outcome: Outcome) -> Hit:
    item = outcome.items.get(document.text)
    if item is None:
        return Hit(rank, index, score=None, logit=None, document=document.document, text=document.text)
    return Hit(
        rank,
        index,
        score=item.score,
        logit=None,
        document=document.document,
        text=document.text,
        tokens=item.tokens,
        truncated=True if document.text in outcome.cut else item.truncated,
        passage=item.passage,
        scored_by=outcome.model,
    )
