"""What is scored: other queries and documents at each turn, the same for all; built, or the user's own.

It knows texts; not who reads them.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path

from crossrank.collection import read_texts
from crossrank.collection.lines import existing
from crossrank.errors import UsageError
from crossrank.evaluate.precision import shipped_probes

WORDS = 64  # of a built passage, on average: about 90 tokens with its query, as in web search
SPREAD = 0.4  # of the logarithm of its length: one in twenty is half as long or less, one in twenty twice as long
BUILT = 2_000
SENTENCE = re.compile(r"(?<=[.!?])\s+")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Texts:
    """Queries and documents to draw from.

    Attributes:
        name: for tables.
    """

    name: str
    queries: Sequence[str]
    documents: Sequence[str]

    def turn(self, count: int, number: int) -> list[Pair]:
        """A query with `count` documents; the same for the same number, others for another.

        Each document comes once before any comes again, then with a number behind it: equal texts are scored once.
        """
        query = self.queries[number % len(self.queries)]
        choose = random.Random(f"{count} {number}")  # noqa: S311 - drawn again in the next run  # nosec B311
        drawn = choose.sample(self.documents, min(count, len(self.documents)))
        met: Counter[str] = Counter()
        pairs = []
        for text in islice(cycle(drawn), count):
            met[text] += 1
            pairs.append((query, text if met[text] == 1 else f"{text} {met[text]}"))
        return pairs

    @cached_property
    def words(self) -> float:
        """Of a document, on average."""
        return sum(len(document.split()) for document in self.documents) / len(self.documents)


def built(words: int = WORDS) -> Texts:
    """Passages of sentences that come with crossrank, of about so many words, their lengths spread as real ones are.

    Only their lengths are like those of real ones: the time a model takes does not depend on what a text says.
    """
    if words < 1:
        raise UsageError(f"{words} words make no passage; allowed: 1 or more")
    choose = random.Random(words)  # noqa: S311 - the same texts each time  # nosec B311
    probes = shipped_probes()
    sentences = [sentence for probe in probes for text in probe.texts for sentence in SENTENCE.split(text)]
    passages = [
        _passage(sentences, max(1, round(choose.lognormvariate(-(SPREAD**2) / 2, SPREAD) * words)), choose)
        for _ in range(BUILT)
    ]
    return Texts(f"built passages of about {words} words", [probe.query for probe in probes], passages)


def of_folder(folder: Path) -> Texts:
    """All queries and documents of a collection in BEIR layout.

    Raises:
        InputFileError: a file is missing, broken or empty.
    """
    corpus, queries = (list(read_texts(existing(folder, name)).values()) for name in ("corpus", "queries"))
    return own(folder.resolve().name, queries, corpus)


def own(name: str, queries: Sequence[str], documents: Sequence[str]) -> Texts:
    """The user's; at least one of each."""
    if not queries or not documents:
        raise UsageError(f"{name}: at least one query and one document are needed")
    return Texts(name, queries, documents)


def _passage(sentences: Sequence[str], words: int, choose: random.Random) -> str:
    """Sentences in a row, cut after so many words."""
    found: list[str] = []
    while len(found) < words:
        found += choose.choice(sentences).split()
    return " ".join(found[:words])
