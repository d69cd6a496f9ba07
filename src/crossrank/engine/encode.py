"""Pairs of texts become rows of token ids: the query tokenised once, documents in one call, joined as integers.

It knows the tokenizer and the pair template; not weights, batches or scores. Equal, id for id, to tokenising the pair.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from crossrank.backends.contract import Row
from crossrank.checkpoint.tokenizer import PairTemplate
from crossrank.engine.cut import WINDOWS_MAX, LongDocuments, Offsets, Windows, chunk, longest_first
from crossrank.engine.pair import Pair, preview
from crossrank.errors import DocumentError, QueryTooLongError

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class EncodeConfig:
    """How much a row may hold, and what happens to a document that is longer.

    Attributes:
        max_length: tokens of a row, special tokens included.
        long_documents: `chunk` into windows, `truncate` the end, `error`, or cut both texts (`longest_first`).
        windows_max: the most windows of one document; what is beyond them is not read.
        truncation_side: the side that `truncate` and `longest_first` cut.
    """

    max_length: int
    long_documents: LongDocuments = "chunk"
    windows_max: int = WINDOWS_MAX
    truncation_side: str = "right"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's token ids, int32 [n], and where each comes from (only kept where a cut is to be expected)."""

    ids: Ids
    offsets: Offsets | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A pair's rows, one a window of its document, and what to report of the cut."""

    rows: tuple[Row, ...]
    passages: tuple[tuple[int, int], ...]  # characters of the document, a row each
    tokens: int  # of the document, before any cut
    truncated: bool


@dataclass(frozen=True)
class Encoder:
    """Tokenizer, template and limits of one model; safe to use from several threads."""

    tokenizer: Tokenizer
    template: PairTemplate
    config: EncodeConfig
    _parts: tuple[Ids, Ids, Ids] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep the template's ids as arrays."""
        t = self.template
        object.__setattr__(self, "_parts", tuple(np.array(part, np.int32) for part in (t.before, t.between, t.after)))

    def tokens(self, texts: Iterable[str]) -> dict[str, Tokens]:
        """Each distinct text with its tokens, in one call of the tokenizer, which spreads it over the cores."""
        distinct = list(dict.fromkeys(texts))
        encodings = self.tokenizer.encode_batch(distinct, add_special_tokens=False)
        expect_cut = self.config.max_length // 2
        return {
            text: Tokens(np.array(e.ids, np.int32), e.offsets if len(e) > expect_cut else None)
            for text, e in zip(distinct, encodings, strict=True)
        }

    def encode(self, pairs: Sequence[Pair], known: Mapping[str, Tokens]) -> list[Encoded]:
        """The rows of each pair, in order; texts in `known` are not tokenised again.

        Raises:
            QueryTooLongError: a query leaves no room for a document.
            DocumentError: a document does not fit and `long_documents` is "error".
        """
        texts = dict.fromkeys(text for pair in pairs for text in pair)
        tokens = {**self.tokens(text for text in texts if text not in known), **known}
        return [self._encode(pair, tokens[pair.query], tokens[pair.document]) for pair in pairs]

    def _encode(self, pair: Pair, query: Tokens, document: Tokens) -> Encoded:
        query_ids, length = query.ids, len(document.ids)
        room = self.config.max_length - self.template.special_tokens
        if self.config.long_documents == "longest_first":
            kept, room = longest_first(len(query_ids), length, room)
            query_ids = self._keep(query_ids, kept)
        else:
            room -= len(query_ids)
            if room < 1:
                raise QueryTooLongError(
                    f"The query {preview(pair.query)} has {len(query_ids)} tokens; with {self.template.special_tokens} "
                    f"special tokens it leaves no room for a document in {self.config.max_length}. "
                    "A query is never cut: shorten it"
                    + (
                        ", raise max_length, or use a model with a longer context."
                        if self.config.max_length < 512
                        else " or use a model with a longer context."
                    )
                )
        if length <= room:
            windows = Windows(((0, length),), truncated=False)
            passages: tuple[tuple[int, int], ...] = ((0, len(pair.document)),)
        else:
            offsets = document.offsets or self.tokenizer.encode(pair.document, add_special_tokens=False).offsets
            windows = self._cut(pair, offsets, room)
            passages = tuple((offsets[a][0], offsets[b - 1][1]) if b > a else (0, 0) for a, b in windows.ranges)
        rows = tuple(self._row(query_ids, document.ids[start:stop]) for start, stop in windows.ranges)
        return Encoded(rows, passages, length, windows.truncated)

    def _cut(self, pair: Pair, offsets: Offsets, room: int) -> Windows:
        match self.config.long_documents:
            case "chunk":
                return chunk(pair.document, offsets, room, self.config.windows_max)
            case "error":
                raise DocumentError(
                    f"The document {preview(pair.document)} has {len(offsets)} tokens; beside the query "
                    f"{preview(pair.query)} there is room for {room}. "
                    "Shorten it, or choose long_documents='chunk' or 'truncate'."
                )
            case _:
                left = self.config.truncation_side == "left"
                return Windows(((len(offsets) - room, len(offsets)) if left else (0, room),), truncated=True)

    def _keep(self, ids: Ids, count: int) -> Ids:
        return ids[len(ids) - count :] if self.config.truncation_side == "left" else ids[:count]

    def _row(self, query: Ids, document: Ids) -> Row:
        before, between, after = self._parts
        parts = (before, query, between, document, after)
        segments = np.repeat(np.array(self.template.segments, np.int32), [len(part) for part in parts])
        return Row(np.concatenate(parts), segments)
