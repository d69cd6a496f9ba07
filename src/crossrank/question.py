"""From what a caller asks to pairs, and from what the model says of them to a ranking.

It knows documents, pairs and hits; not tokens, nor how a pair is scored.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossrank.arguments import Wanted, check_iterable, check_pair
from crossrank.calibration import Calibration
from crossrank.documents.texts import TextDocument, as_documents, text_of
from crossrank.engine.encode import Known, Tokens
from crossrank.engine.pair import Pair, Scored
from crossrank.engine.scorer import Outcome, Scorer
from crossrank.errors import UsageError
from crossrank.types import Document, Hit, Ranking

SMALL_DOCUMENTS = 64
SMALL_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDocuments(Sequence[Document]):
    """Documents with their tokens, from `Reranker.prepare`; goes wherever `documents` does. Behaves like their list."""

    items: tuple[TextDocument, ...]
    tokens: dict[str, Tokens]
    owner: object  # the tokenizer that made the tokens: another model reads the texts anew

    def __getitem__(self, position: Any) -> Any:
        """The caller's own document at a position, or a list of them for a slice."""
        if isinstance(position, slice):
            return [item.document for item in self.items[position]]
        return self.items[position].document

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Question:
    """A query and its documents, checked, and what is wanted of their ranking.

    Attributes:
        query: as given.
        items: the documents with their texts.
        wanted: which hits.
        known: texts that were tokenised before, by this very model.
        pairs: the query with each text, in the caller's order.
        calibration: of the model's logits when it is asked so, if there is one.
    """

    query: str
    items: Sequence[TextDocument]
    wanted: Wanted
    known: Known = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls,
        scorer: Scorer,
        query: str,
        documents: Sequence[Document],
        wanted: Wanted,
        *,
        fields: Sequence[str] | None = None,
        instruction: str | None = None,
        calibration: Calibration | None = None,
    ) -> "Question":
        """The question, of a query that was checked."""
        if not isinstance(documents, PreparedDocuments):
            items: Sequence[TextDocument] = as_documents(documents, fields)
            known: Known = {}
        elif fields is not None:
            raise UsageError("fields was given for prepared documents; give it to prepare(), where their text is made")
        else:
            items = documents.items
            known = documents.tokens if documents.owner is scorer.encoder.tokenizer else {}
        pairs = tuple(Pair(query, item.text, instruction or "") for item in items)
        return cls(query, items, wanted, known, pairs, calibration)

    def ranking(self, scorer: Scorer, outcome: Outcome, started: float) -> Ranking:
        """The hits that are wanted, best first: by logit, not by score, whose activation can saturate.

        Args:
            scorer: which gave the outcome.
            outcome: of the question's pairs, and maybe of others.
            started: the time.perf_counter() of the call.
        """
        scored = [outcome.results.get(pair) for pair in self.pairs]
        logits = np.array([math.nan if s is None else s.logit for s in scored], np.float32)
        scores = scorer.activate(logits)
        probabilities = None if self.calibration is None else self.calibration.probability(logits)
        # Highest logit first, unscored last; sorted() is stable, so equal ones keep the caller's order.
        order = sorted(range(len(self.items)), key=lambda i: math.inf if (s := scored[i]) is None else -s.logit)
        hits: list[Hit] = []
        for i in order:
            score = None if scored[i] is None else float(scores[i])
            probability = None if probabilities is None or scored[i] is None else float(probabilities[i])
            if self.wanted.keeps(score if self.wanted.threshold_on == "score" else probability, len(hits)):
                name = scorer.profile.name
                hits.append(_hit(len(hits) + 1, i, self.items[i], scored[i], score, probability, name))
        usage = {"documents": len(self.items), **outcome.usage(self.pairs)}
        return Ranking(tuple(hits), self.query, {**outcome.timings, "total": time.perf_counter() - started}, usage)


def is_small(documents: Sequence[Document]) -> bool:
    """Whether to turn these into texts takes no longer than to ask a thread for it."""
    if isinstance(documents, PreparedDocuments):
        return len(documents) <= SMALL_DOCUMENTS
    if not isinstance(documents, list | tuple) or len(documents) > SMALL_DOCUMENTS:
        return False
    return all(isinstance(d, str) for d in documents) and sum(map(len, documents)) <= SMALL_CHARACTERS


def calibrating(calibration: Calibration | None, wanted: Wanted) -> Calibration | None:
    """The calibration for the logits of a call, if there is one, as a threshold on probabilities needs it."""
    if calibration is None and wanted.threshold_on == "probability":
        raise UsageError(
            "threshold_on='probability', but no calibration is in use for this call: open the Reranker with "
            "calibration=NAME (`crossrank calibrate` makes one), and give no instruction but the one it has"
        )
    return calibration


def pairs_of(pairs: Iterable[tuple[str, Document]]) -> list[Pair]:
    """The pairs with their documents as texts, checked."""
    given = enumerate(check_iterable("pairs", pairs, "(query, document) tuples"))
    checked = ((i, *check_pair(pair, i)) for i, pair in given)
    return [Pair(query, text_of(document, f"the document of pairs[{i}]")) for i, query, document in checked]


def _hit(
    rank: int,
    index: int,
    item: TextDocument,
    scored: Scored | None,
    score: float | None,
    probability: float | None,
    name: str,
) -> Hit:
    if scored is None:
        return Hit(rank, index, score=None, logit=None, document=item.document, text=item.text)
    return Hit(
        rank,
        index,
        score,
        scored.logit,
        item.document,
        item.text,
        scored.tokens,
        scored.truncated,
        scored.passage,
        scored_by=name,
        probability=probability,
    )
