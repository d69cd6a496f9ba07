"""Real pairs to score: a query and passages of a test collection, others at each repeat; as they are, or joined to 512.

It knows collections and token counts; not peers or processes.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from crossrank.collection import Collection, Run, read_collection, read_run

LENGTH_MAX = 512
LONG = "long"
RUNS = {"trec_dl19": "BM25.trec", "squad11_dev": "BM25_simple.test.trec"}
TUNING, WARMING = -1, -2  # turns that are no repeats
CALIBRATION_PAIRS = 300

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A set of RUNS, or LONG: passages of trec_dl19, joined until they fill 512 tokens; and documents a query."""

    name: str
    documents: int

    def __str__(self) -> str:
        """For tables."""
        kind = "passages of trec_dl19 joined to 512 tokens" if self.name == LONG else f"passages of {self.name}"
        return f"1 query x {self.documents} {kind}"


class Passages:
    """Pairs of the collections in a folder, cut so that none is over the model's length: every peer reads the same."""

    def __init__(self, data: Path, model: Path) -> None:
        self._data = data
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._read = cache(self._opened)

    def turn(self, case: Case, number: int) -> list[Pair]:
        """The pairs of a turn: a query of its own, its BM25 passages, then others of the corpus."""
        collection, run = self._read("trec_dl19" if case.name == LONG else case.name)
        queries = list(run)
        random.Random(0).shuffle(queries)
        query = queries[number % len(queries)]
        choose = random.Random(f"{case.name} {number}")
        others = list(collection.corpus)
        found = [document for document, _ in run[query]][: case.documents]
        known = set(found)
        while len(found) < min(case.documents, len(others)):
            document = choose.choice(others)
            if document not in known:
                known.add(document)
                found.append(document)
        choose.shuffle(found)
        texts = [collection.corpus[document] for document in found]
        if case.name == LONG:
            texts = [self._filled(query, text, collection, choose) for text in texts]
        question = collection.queries[query]
        return [(question, self._cut(question, text)) for text in texts]

    def lengths(self, pairs: list[Pair]) -> list[int]:
        """Tokens of each pair, special ones included."""
        return [len(row.ids) for row in self._tokenizer.encode_batch(pairs)]

    def calibration(self) -> list[Pair]:
        """Pairs that static quantisation may look at, from both sets: the peers know the kind of text."""
        choose, pairs = random.Random(1), []
        for name in RUNS:
            collection, run = self._read(name)
            for _ in range(CALIBRATION_PAIRS // len(RUNS)):
                query = choose.choice(list(run))
                pairs.append((collection.queries[query], collection.corpus[choose.choice(run[query])[0]]))
        return pairs

    def _opened(self, name: str) -> tuple[Collection, Run]:
        collection = read_collection(self._data / name)
        run = read_run(self._data / name / "runs" / RUNS[name])
        return collection, {query: found for query, found in run.items() if query in collection.queries}

    def _filled(self, query: str, text: str, collection: Collection, choose: random.Random) -> str:
        ids = list(collection.corpus)
        while len(self._tokenizer.encode(query, text).ids) <= LENGTH_MAX:
            text = f"{text} {collection.corpus[choose.choice(ids)]}"
        return text

    def _cut(self, query: str, text: str) -> str:
        """The text up to the last whole word that fits."""
        row = self._tokenizer.encode(query, text)
        if len(row.ids) <= LENGTH_MAX:
            return text
        last = LENGTH_MAX - 2  # the separator takes one
        while last > 0 and row.word_ids[last] == row.word_ids[last + 1]:
            last -= 1
        return text[: row.offsets[last][1]]
