"""What retrievers are, and what they find. It knows documents; no index and no ranker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from crossrank.documents.texts import text_of
from crossrank.types import Document


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of a corpus. It goes wherever a ranker takes documents: it has a `text`.

    Attributes:
        document: the string or the mapping itself.
        text: what models and BM25 read of it.
        line: where it stands in its file or list, from 1.
    """

    document: str | dict[str, Any]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a retriever found.

    Attributes:
        document: anything that a ranker takes.
        score: the retriever's, higher is better; None if it gives none.
        found_by: 1-based rank by the name of the retriever, of all that found it.
    """

    document: Document
    score: float | None = None
    found_by: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it from others that other retrievers find: its text."""
        return text_of(self.document, "a retrieved document")


@runtime_checkable
class Retriever(Protocol):
    """Finds candidates. One that has `aretrieve(query, k)` too is awaited, others are asked in a thread."""

    name: str

    def retrieve(self, query: str, k: int) -> Sequence[Found]:
        """At most `k` documents, best first."""
        ...
