"""BM25 over a corpus on disk: opened in a moment, of any size that fits on the disk.

It knows queries and passages; how the folder comes to be is `build`'s business.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossrank.documents.texts import text_of
from crossrank.errors import IndexFolderError
from crossrank.retrieve.build import PASSAGES, STARTS, Progress, build, manifest_of
from crossrank.retrieve.contract import Found, Passage
from crossrank.retrieve.pipeline import Pipes
from crossrank.retrieve.words import best_places, bm25s, known_scores, words_of
from crossrank.types import Document


class Bm25Index(Pipes):
    """An index on disk (Robertson and Zaragoza 2009, in Lucene's variant): lower-cased words, English stop words.

    Args:
        folder: what `Bm25Index.build` or `crossrank search` made.

    Raises:
        IndexFolderError: there is no finished index, or one of another version.
        MissingExtra: bm25s is not installed.
    """

    name = "bm25"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = manifest_of(self.folder)
        if manifest is None:
            raise IndexFolderError(
                f"{folder} holds no finished index. Make one: Bm25Index.build(folder, documents); an interrupted one "
                "goes on from where it was."
            )
        generation = self.folder / str(manifest["generation"])
        try:
            self._bm25 = bm25s("search").BM25.load(str(generation), mmap=True)
            self._starts = np.load(generation / STARTS, mmap_mode="r")
            self._passages = np.memmap(generation / PASSAGES, np.uint8, "r")
        except (OSError, ValueError, KeyError) as exc:
            raise IndexFolderError(f"{folder} is damaged ({exc}). Delete it, and build it again.") from exc
        self.stamp: Mapping[str, Any] = manifest["stamp"]

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[Document],
        *,
        fields: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> "Bm25Index":
        """The index of these documents, strings or mappings that JSON can hold; only what changed is read again."""
        passages = (
            Passage(document, text_of(document, f"documents[{i}]", fields), i + 1)
            for i, document in enumerate(documents)
        )
        build(Path(folder), passages, stamp={}, progress=progress)
        return cls(folder)

    def __len__(self) -> int:
        """The number of passages."""
        return len(self._starts) - 1

    def retrieve(self, query: str, k: int) -> list[Found]:
        """At most `k` passages that share a word with the query, best first; equal scores in the corpus's order."""
        scores = known_scores(self._bm25, words_of([query])[0], len(self))
        return [Found(self._passage(int(place)), float(scores[place])) for place in best_places(scores, k)]

    def _passage(self, place: int) -> Passage:
        line = json.loads(self._passages[self._starts[place] : self._starts[place + 1]].tobytes())
        return Passage(line["document"], line["text"], line["line"])
