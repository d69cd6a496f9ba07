"""Finished queries, kept in a file as they come, so that an interrupted evaluation goes on where it stopped.

It knows a folder and what makes two evaluations the same; not rankers, measures or models.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from crossrank.collection import Collection
from crossrank.collection.digest import digest_of
from crossrank.errors import UsageError
from crossrank.evaluate.candidates import Candidates
from crossrank.evaluate.folder import make_folder, unwritable
from crossrank.evaluate.result import Ranked
from crossrank.lifetime import Closes

FILE = "results.jsonl"
SCHEMA_VERSION = 1
CHANGED: Mapping[str, str] = {
    "schema_version": "the file is of another version of crossrank",
    "depth": "it ranked to another depth",
    "queries": "the judged queries are others",
    "candidates": "the first stage gives other candidates",
    "texts": "the candidates' texts have changed",
}


class Kept(Protocol):
    """Where finished queries are kept."""

    def known(self, ranker: str, identity: str) -> Mapping[str, Ranked]:
        """By query id, what the ranker of that name has ranked already."""
        ...

    def add(self, ranker: str, ranked: Ranked) -> None:
        """Keep a query's ranking."""
        ...


class Nowhere:
    """Keeps nothing: for evaluations that need not go on after an interruption."""

    def known(self, ranker: str, identity: str) -> Mapping[str, Ranked]:  # noqa: ARG002
        """Nothing."""
        return {}

    def add(self, ranker: str, ranked: Ranked) -> None:
        """Nothing happens."""


class Journal(Closes):
    """`results.jsonl` in a folder: what it is of, then a line for each ranker, and for each query that was ranked.

    A line that was cut off by the end of a process is dropped. One process at a time may have it open.

    Args:
        folder: made if it does not exist.
        header: what the rankings depend on, from `header_of`.

    Raises:
        UsageError: the folder cannot be written to, is in use, or holds results of another evaluation.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        make_folder(folder)
        self._name = folder / FILE
        try:
            self._file = self._name.open("a+b", buffering=0)  # a full disk shows at the write, not at close
        except OSError as exc:
            raise unwritable(self._name, exc) from exc
        try:
            self._lock()
            self._identities: dict[str, str] = {}
            self._known: dict[str, dict[str, Ranked]] = {}
            self._read(header)
        except BaseException:
            self._file.close()
            raise

    def known(self, ranker: str, identity: str) -> Mapping[str, Ranked]:
        """By query id, what the ranker of that name has ranked already.

        Raises:
            UsageError: under that name, another model's results are there.
        """
        if self._identities.get(ranker, identity) != identity:
            raise UsageError(
                f"{self._name} holds results of another {ranker}: the model or its options have changed. "
                f"{self._remedy()}"
            )
        if ranker not in self._identities:
            self._identities[ranker] = identity
            self._append({"ranker": ranker, "identity": identity})
        return self._known.get(ranker, {})

    def add(self, ranker: str, ranked: Ranked) -> None:
        """Keep a query's ranking."""
        self._append(
            {
                "ranker": ranker,
                "query": ranked.query,
                "seconds": ranked.seconds,
                "documents": ranked.documents,
                "tokens": ranked.tokens,
                "cost_usd": ranked.cost_usd,
                "run": ranked.run,
            }
        )

    def close(self) -> None:
        """Let others use the folder."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise UsageError(
                f"{self._name} is in use by another evaluation. Wait for it, or give another --out."
            ) from exc

    def _read(self, header: Mapping[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        lines = content[:whole].splitlines()
        if not lines:
            self._append(header)
            return
        try:
            entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
            self._check(entries[0], header)
            for entry in entries[1:]:
                self._take(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            if isinstance(exc, UsageError):
                raise
            raise UsageError(f"{self._name} is broken ({exc}). {self._remedy()}") from exc

    def _check(self, found: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        for field, reason in CHANGED.items():
            if found[field] != header[field]:
                given = f" ({found[field]}, now {header[field]})" if field == "depth" else ""
                raise UsageError(f"{self._name} holds results of another evaluation: {reason}{given}. {self._remedy()}")

    def _take(self, entry: Mapping[str, Any]) -> None:
        if "identity" in entry:
            self._identities[entry["ranker"]] = entry["identity"]
            return
        run = [(str(document), float(score)) for document, score in entry["run"]]
        ranked = Ranked(
            entry["query"],
            run,
            float(entry["seconds"]),
            int(entry["documents"]),
            entry["tokens"],
            entry.get("cost_usd"),
        )
        self._known.setdefault(entry["ranker"], {})[ranked.query] = ranked

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        try:
            while line:  # a nearly full disk takes the beginning
                line = line[self._file.write(line) :]
        except OSError as exc:
            raise unwritable(self._name, exc) from exc

    def _remedy(self) -> str:
        return "Give another --out, or delete the file to start anew."


def header_of(collection: Collection, candidates: Candidates, depth: int | None) -> dict[str, Any]:
    """What rankings depend on besides the ranker: queries, candidates and texts as digests. Not on the judgements."""
    texts = dict.fromkeys(document for ids in candidates.ids.values() for document in ids)
    return {
        "schema_version": SCHEMA_VERSION,
        "collection": collection.name,
        "depth": depth,
        "queries": digest_of(part for query in candidates.run for part in (query, collection.queries[query])),
        "candidates": digest_of(part for query, ids in candidates.ids.items() for part in ("", query, *ids)),
        "texts": digest_of(collection.corpus[document] for document in texts),
    }
