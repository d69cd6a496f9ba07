"""A pair, and what is known of it once it is scored. It knows text and numbers only."""

from dataclasses import dataclass
from typing import NamedTuple


class Pair(NamedTuple):
    """A query and a document's text, with the instruction that the model is asked by; "" for its own."""

    query: str
    document: str
    instruction: str = ""

    @property
    def characters(self) -> int:
        """How long it is, as a measure of work before anything is tokenised."""
        return len(self.query) + len(self.document)


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model said of a pair, and how much of the document it read to say so.

    Attributes:
        logit: fp32, of the best window of the document, or the mean of its best ones.
        tokens: length of the document in tokens, before any cut; of a huge one, of what was tokenised of it.
        truncated: whether some of the document was never read.
        passage: characters (start, end) of the best window.
        cost: tokens that went through the model for it, with the query, special tokens and overlaps of all windows.
    """

    logit: float
    tokens: int
    truncated: bool
    passage: tuple[int, int]
    cost: int


def preview(text: str, characters_max: int = 60) -> str:
    """The beginning of a text, quoted, for messages."""
    return repr(text if len(text) <= characters_max else text[: characters_max - 1] + "…")
