"""What the options of `crossrank models --compare` stand for: queries, documents, candidates, perhaps judgements."""

from dataclasses import dataclass
from pathlib import Path

from crossrank.cli.documents import read_documents, read_text
from crossrank.cli.eval_inputs import Stage
from crossrank.collection import Collection, Run, read_collection, read_qrels, read_run, read_texts
from crossrank.errors import InputFileError, UsageError
from crossrank.evaluate.bm25 import Bm25

Candidates = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Given:
    """The options, as they were given."""

    queries: Path | None
    documents: str | None
    corpus: Path | None
    run: Path | None
    data: Path | None
    split: str
    qrels: Path | None
    depth: int
    limit: int | None

    def read(self) -> tuple[Collection, Candidates, str]:
        """Texts; ids of each query's documents, at most `depth`, of at most `limit` queries; where those are from.

        Raises:
            UsageError: the options are not one of the three sets that belong together.
            InputFileError: a file is missing, broken or empty.
        """
        given = (self.data is not None, self.documents is not None, self.run is not None)
        if sum(given) != 1:
            raise UsageError(
                "Give one of: --queries with --documents; --queries, --corpus and --run; --data DIR in BEIR layout."
            )
        if self.data is not None:
            collection, candidates, origin = self._of_folder(self.data)
        elif self.queries is None:
            raise UsageError("--queries FILE is missing: what shall be asked?")
        elif self.documents is not None:
            collection, candidates, origin = self._of_documents(self.queries, self.documents)
        else:
            collection, candidates, origin = self._of_run(self.queries)
        limited = list(candidates)[: self.limit]
        return collection, {query: candidates[query] for query in limited}, origin

    def _of_folder(self, folder: Path) -> tuple[Collection, Candidates, str]:
        collection = read_collection(folder, split=self.split, qrels=self.qrels)
        stage = Stage(None, pool=False, bm25=False).open(collection, folder, self.split, self.depth)
        known = {query: found for query, found in stage.run.items() if query in collection.queries}
        return collection, self._with_texts(collection, known), stage.origin

    def _of_documents(self, queries: Path, documents: str) -> tuple[Collection, Candidates, str]:
        asked = _queries(queries)
        lines = read_documents(documents)
        corpus = {str(number): line.text for number, line in enumerate(lines, 1)}
        collection = Collection(queries.stem, asked, corpus, {} if self.qrels is None else read_qrels(self.qrels))
        if len(corpus) <= self.depth:
            return collection, {query: list(corpus) for query in asked}, f"all {len(corpus):,} documents"
        found = Bm25(corpus).search(asked, self.depth)
        ids = {query: [document for document, _ in best] for query, best in found.items()}
        return collection, ids, f"the first {self.depth:,} that BM25 finds in {len(corpus):,} documents"

    def _of_run(self, queries: Path) -> tuple[Collection, Candidates, str]:
        assert self.run is not None, "bug: there is no run"
        if self.corpus is None:
            raise UsageError("--run FILE names documents by their ids; give their texts with --corpus FILE.")
        qrels = {} if self.qrels is None else read_qrels(self.qrels)
        collection = Collection(queries.stem, _queries(queries), read_texts(self.corpus), qrels)
        run = {query: found for query, found in read_run(self.run).items() if query in collection.queries}
        if not run:
            raise UsageError(f"{self.run}: none of its queries is in {queries}; the files belong to different sets.")
        return collection, self._with_texts(collection, run), f"the first {self.depth:,} of {self.run.name}"

    def _with_texts(self, collection: Collection, run: Run) -> Candidates:
        return {
            query: [document for document, _ in found if document in collection.corpus][: self.depth]
            for query, found in run.items()
        }


def _queries(file: Path) -> dict[str, str]:
    """Texts by id: of JSON lines their own, of plain lines the line's number."""
    if file.suffix in (".jsonl", ".gz", ".ndjson"):
        return read_texts(file)
    if file.suffix in (".csv", ".tsv", ".json"):
        raise InputFileError(f"{file}: queries are a .txt file, one a line, or .jsonl, each line with _id and text.")
    lines = read_text(str(file)).split("\n")
    found = {str(number): line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    if not found:
        raise InputFileError(f"{file} holds no query; give one a line.")
    return found
