"""Pairs of texts become rows of token ids: the query tokenised once, documents in one call, joined as integers.

It knows the tokenizer and the pair template; not weights, batches or scores. Equal, id for id, to tokenising the pair.
"""

import sys
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as both

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from crossrank.backends.contract import Row
from crossrank.checkpoint.tokenizer import PairTemplate
from crossrank.engine.cache import Recent, report
from crossrank.engine.cut import (
    MAX,
    WINDOWS_MAX,
    Aggregate,
    LongDocuments,
    Offsets,
    Windows,
    beginning,
    chunk,
    longest_first,
)
from crossrank.engine.pair import Pair, preview
from crossrank.errors import DocumentError, QueryTooLongError

Ids = NDArray[np.int32]

HUGE_CHARACTERS = 100_000  # longer texts are not tokenised whole, if only their beginning can be read
CHARACTERS_A_TOKEN = 8  # more than texts have on average
TOKENS_TO_SPARE = 256  # between the last token that is read and the place where a text was broken off
INSTRUCTIONS_MAX = 64  # whose templates are kept
TEXTS_AT_ONCE = 1_024  # for the tokenizer: what it keeps of a text is far more than its ids
REMEMBERED_BYTES = 64 * 2**20  # of texts with their tokens: about 50,000 passages
REMEMBERED_TEXTS = 2**20
ENTRY_BYTES = 512  # that a text and its tokens take beside their content


@dataclass(frozen=True, slots=True)
class EncodeConfig:
    """How much a row may hold, and what happens to a document that is longer.

    Attributes:
        max_length: tokens of a row, special tokens included.
        long_documents: `chunk` into windows, `truncate` the end, or `error`.
        windows_max: the most windows of one document; what is beyond them is not read.
        aggregate: how one logit comes of those of its windows.
        max_chars: characters of a document that are read at all; None for no such limit.
        truncation_side: the side that is cut.
        cut_query: cut both texts, the longer one first, as sentence-transformers does, whatever `long_documents` says.
    """

    max_length: int
    long_documents: LongDocuments = "chunk"
    windows_max: int = WINDOWS_MAX
    aggregate: Aggregate = MAX
    max_chars: int | None = None
    truncation_side: str = "right"
    cut_query: bool = False

    @property
    def windows(self) -> int:
        """The most windows of one document that are read."""
        chunked = self.long_documents == "chunk" and not self.cut_query and not self.aggregate.only_first
        return self.windows_max if chunked else 1

    @property
    def tokens_max(self) -> int:
        """Tokens of a document that can be read at most, in all its windows."""
        return self.max_length * self.windows

    def read_of(self, document: str) -> str:
        """The part of a document's text that is tokenised."""
        return document if self.max_chars is None else beginning(document, self.max_chars)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's token ids.

    Attributes:
        ids: int32 [n].
        offsets: int32 [n, 2], the characters each comes from; only kept where a cut is to be expected.
        whole: whether they are those of the whole text, or of more of it than can be read.
    """

    ids: Ids
    offsets: Ids | None = None
    whole: bool = True


Known = MutableMapping[str, Tokens]  # by text


def token_cache(bytes_max: int = REMEMBERED_BYTES) -> Recent[str, Tokens]:
    """What an encoder remembers of the texts it met: the last ones, bounded by bytes."""
    return Recent(_size, bytes_max=bytes_max, entries_max=REMEMBERED_TEXTS)


def _size(text: str, tokens: Tokens) -> int:
    offsets = 0 if tokens.offsets is None else tokens.offsets.nbytes
    return sys.getsizeof(text) + tokens.ids.nbytes + offsets + ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class Encoded:
    """A pair's rows, one a window of its document, and what to report of the cut."""

    rows: tuple[Row, ...]
    passages: tuple[tuple[int, int], ...]  # characters of the document, a row each
    tokens: int  # of the document, before any cut
    truncated: bool


@dataclass(frozen=True, slots=True)
class Fixed:
    """A template's ids as arrays, int32 [n] each, and the segments of a row's five parts, int32 [5]."""

    template: PairTemplate
    before: Ids
    between: Ids
    after: Ids
    lead: Ids
    segments: Ids

    @classmethod
    def of(cls, template: PairTemplate) -> "Fixed":
        """The arrays of a template."""
        t = template
        return cls(t, *(np.array(part, np.int32) for part in (t.before, t.between, t.after, t.lead, t.segments)))

    def row(self, query: Ids, document: Ids) -> Row:
        """The whole sequence of a query and a document, or a window of it."""
        parts = (self.before, query, self.between, document, self.after)
        return Row(np.concatenate(parts), np.repeat(self.segments, [len(part) for part in parts]))


@dataclass(frozen=True)
class Encoder:
    """Tokenizer, template and limits of one model; safe to use from several threads.

    Attributes:
        tokenizer: the model's.
        template: for pairs without an instruction of their own.
        config: how much a row may hold.
        asked_otherwise: whether the template holds another instruction than its authors'.
        instructed: makes the template for an instruction; None for a model that takes none.
        recent: what was tokenised before; None tokenises every time.
    """

    tokenizer: Tokenizer
    template: PairTemplate
    config: EncodeConfig
    instructed: Callable[[str], PairTemplate] | None = None
    asked_otherwise: bool = False
    recent: "Recent[str, Tokens] | None" = None
    _fixed: dict[str, Fixed] = field(init=False, repr=False, compare=False, default_factory=dict)

    def _fixed_for(self, instruction: str) -> Fixed:
        """What does not depend on the pair, made once for an instruction."""
        if instruction not in self._fixed:
            assert not instruction or self.instructed is not None, "bug: an instruction for a model that takes none"
            template = self.instructed(instruction) if instruction and self.instructed else self.template
            if len(self._fixed) >= INSTRUCTIONS_MAX:
                self._fixed.clear()
            self._fixed[instruction] = Fixed.of(template)
        return self._fixed[instruction]

    def prepare(self, texts: Iterable[str]) -> dict[str, Tokens]:
        """Documents with their tokens, by text; what the template puts before a document is tokenised with it."""
        read = {text: self.template.document + self.config.read_of(text) for text in texts}
        tokens = self.tokens(read.values())
        return {text: tokens[whole] for text, whole in read.items()}

    def tokens(self, texts: Iterable[str]) -> dict[str, Tokens]:
        """Each distinct text with its tokens; those of texts that were met lately are known."""
        distinct = list(dict.fromkeys(texts))
        if self.recent is None or not distinct:
            return self._tokenised(distinct)
        started = time.perf_counter()
        tokens = self.recent.get_many(distinct)
        seconds = time.perf_counter() - started
        report("tokens", hits=len(tokens), misses=len(distinct) - len(tokens), seconds=seconds)
        if fresh := [text for text in distinct if text not in tokens]:
            new = self._tokenised(fresh)
            self.recent.put_many(new)
            tokens.update(new)
        return tokens

    def _tokenised(self, distinct: list[str]) -> dict[str, Tokens]:
        """Tokens in one call of the tokenizer, which spreads it over the cores."""
        huge = max(HUGE_CHARACTERS, CHARACTERS_A_TOKEN * self.config.tokens_max)
        if self.config.truncation_side == "left" or self.config.cut_query:
            huge = sys.maxsize  # the end counts, or how long both texts are
        usual = [text for text in distinct if len(text) <= huge]
        tokens: dict[str, Tokens] = {}
        for start in range(0, len(usual), TEXTS_AT_ONCE):
            texts_now = usual[start : start + TEXTS_AT_ONCE]
            encodings = self.tokenizer.encode_batch(texts_now, add_special_tokens=False)
            tokens.update((text, self._tokens_of(e)) for text, e in zip(texts_now, encodings, strict=True))
        for text in distinct:
            if text not in tokens:
                tokens[text] = self._beginning(text, huge)
        return tokens

    def _beginning(self, text: str, characters: int) -> Tokens:
        """Tokens of as much of a huge text as can be read, and a little more: the rest would only cost time."""
        while characters < len(text):
            encoding = self.tokenizer.encode(text[:characters], add_special_tokens=False)
            if len(encoding) >= self.config.tokens_max + TOKENS_TO_SPARE:
                return replace(self._tokens_of(encoding), whole=False)
            characters *= 4
        return self._tokens_of(self.tokenizer.encode(text, add_special_tokens=False))

    def _tokens_of(self, encoding: Encoding) -> Tokens:
        expect_cut = len(encoding) > self.config.max_length // 2
        offsets = np.array(encoding.offsets, np.int32) if expect_cut else None
        return Tokens(np.array(encoding.ids, np.int32), offsets)

    def encode(self, pairs: Sequence[Pair], known: Mapping[str, Tokens]) -> list[Encoded]:
        """The rows of each pair, in order; documents in `known` are not tokenised again.

        Raises:
            QueryTooLongError: a query leaves no room for a document.
            DocumentError: a document does not fit and `long_documents` is "error".
        """
        fixed = {instruction: self._fixed_for(instruction) for instruction in {pair.instruction for pair in pairs}}
        asked = [fixed[pair.instruction].template.asked(pair.query) for pair in pairs]
        lead = self.template.document  # no instruction changes it
        fresh = {d: lead + self.config.read_of(d) for _, d, _ in pairs if d not in known}
        tokens = self.tokens(both(asked, fresh.values()))
        return [
            self._encode(
                pair,
                fixed[pair.instruction],
                tokens[text],
                known[pair.document] if pair.document in known else tokens[fresh[pair.document]],
            )
            for pair, text in zip(pairs, asked, strict=True)
        ]

    def _encode(self, pair: Pair, fixed: Fixed, query: Tokens, document: Tokens) -> Encoded:
        query_ids, length = query.ids, len(document.ids)
        text = self.config.read_of(pair.document)
        template, lead = fixed.template, fixed.lead
        room = self.config.max_length - template.special_tokens
        if self.config.cut_query and not len(lead):
            kept, room = longest_first(len(query_ids), length, room)
            query_ids = self._keep(query_ids, kept)
        else:
            room -= len(query_ids)
            if room < 1:
                around = " with what stands around it" if any(template.query) else ""
                raise QueryTooLongError(
                    f"The query {preview(pair.query)}{around} has {'' if query.whole else 'over '}{len(query_ids)} "
                    "tokens; "
                    f"with {template.special_tokens} special tokens it leaves no room for a document in "
                    f"{self.config.max_length}. A query is never cut: shorten it, or use a model with a longer context."
                )
        if length <= room:
            windows = Windows(((0, length),), truncated=False)
            passages: tuple[tuple[int, int], ...] = ((0, len(text)),)
        else:
            offsets = self._offsets(text, document, template.document)
            windows = self._cut(pair, text, offsets, room - len(lead), counted="" if document.whole else "more than ")
            passages = tuple((offsets[a][0], offsets[b - 1][1]) if b > a else (0, 0) for a, b in windows.ranges)
        parts = tuple(
            document.ids[start:stop] if start == 0 else np.concatenate([lead, document.ids[start:stop]])
            for start, stop in windows.ranges
        )
        rows = tuple(fixed.row(query_ids, part) for part in parts)
        truncated = windows.truncated or not document.whole or len(text) < len(pair.document)
        return Encoded(rows, passages, max(0, length - len(lead)), truncated)

    def _offsets(self, text: str, document: Tokens, lead: str) -> Offsets:
        """The characters of the document that each token comes from; none for what stands before it."""
        if document.offsets is None:
            offsets = self.tokenizer.encode(lead + text, add_special_tokens=False).offsets
        else:
            offsets = document.offsets.tolist()
        assert len(offsets) == len(document.ids), "bug: these are tokens of another text"
        return offsets if not lead else [(max(0, a - len(lead)), max(0, b - len(lead))) for a, b in offsets]

    def _cut(self, pair: Pair, text: str, offsets: Offsets, room: int, *, counted: str) -> Windows:
        match "truncate" if self.config.cut_query else self.config.long_documents:
            case "chunk":
                return chunk(text, offsets, room, self.config.windows)
            case "error":
                raise DocumentError(
                    f"The document {preview(pair.document)} has {counted}{len(offsets)} tokens; beside the query "
                    f"{preview(pair.query)} there is room for {room}. "
                    "Shorten it, or choose long_documents='chunk' or 'truncate'."
                )
            case _:
                left = self.config.truncation_side == "left"
                return Windows(((len(offsets) - room, len(offsets)) if left else (0, room),), truncated=True)

    def _keep(self, ids: Ids, count: int) -> Ids:
        return ids[len(ids) - count :] if self.config.truncation_side == "left" else ids[:count]


def together(known: Iterable[Known]) -> Known:
    """What is known by any of these, none of them copied."""
    return ChainMap(*{id(one): one for one in known if one}.values())
