"""What a job is, and what came of its partitions: values, and their JSON. It is pure: no files, no cluster."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Self

from crossrank.cluster.plan import Partition
from crossrank.errors import UsageError

SCHEMA_VERSION = 1  # of the manifest and of the output; raised when a field changes its meaning or goes
RUNNING, COMPLETE = "running", "complete"


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of a partition.

    Attributes:
        job: digest of the job that it is part of.
        partition: its rows.
        scored: rows of the output, after `top_k` and `threshold`.
        poison: rows in the side file, by reason.
        pairs: that went through the model.
        tokens: that the model read.
        seconds: spent on reading, joining and ranking.
        worker: where.
    """

    job: str
    partition: Partition
    scored: int
    poison: Mapping[str, int]
    pairs: int
    tokens: int
    seconds: Mapping[str, float]
    worker: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `to_json` gave; ValueError, KeyError or TypeError for anything else."""
        known = json.loads(text)
        return cls(**{**known, "partition": Partition(**known["partition"])})


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over partitions.

    Attributes:
        partitions: how many.
        rows: of the candidates.
        scored: rows of the output.
        poison: rows in side files, by reason.
        pairs: that went through the model.
        tokens: that the model read.
        seconds: that workers spent.
    """

    partitions: int = 0
    rows: int = 0
    scored: int = 0
    poison: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """The sums."""
        known = list(entries)
        return cls(
            len(known),
            sum(entry.partition.rows for entry in known),
            sum(entry.scored for entry in known),
            dict(sorted(sum((Counter(entry.poison) for entry in known), Counter()).items())),
            sum(entry.pairs for entry in known),
            sum(entry.tokens for entry in known),
            sum(sum(entry.seconds.values()) for entry in known),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a job is.

    Attributes:
        job: all that the output depends on, as JSON: model, settings, columns and inputs.
        partitions: of the candidates, in order.
        versions: of what ran it, for whoever looks for a difference.
        entries: by partition; while the job runs, they are in the outputs' files alone.
    """

    job: Mapping[str, Any]
    partitions: Sequence[Partition]
    versions: Mapping[str, str]
    entries: Mapping[int, Entry] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the job and its partitions: an output belongs to the job whose digest it has."""
        known = [self.job, [asdict(partition) for partition in self.partitions]]
        return blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=16).hexdigest()

    def dump(self) -> bytes:
        """As JSON, for people too; with totals once all partitions are done."""
        state = COMPLETE if len(self.entries) == len(self.partitions) else RUNNING
        shown = {
            "schema_version": SCHEMA_VERSION,
            "state": state,
            "digest": self.digest,
            "job": self.job,
            "versions": self.versions,
            "totals": asdict(Totals.of(self.entries.values())),
            "partitions": [asdict(partition) for partition in self.partitions],
            "entries": [_shown(self.entries[number]) for number in sorted(self.entries)],
        }
        return json.dumps(shown, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, content: bytes, where: str) -> Self:
        """A manifest without its entries, which the outputs hold.

        Raises:
            UsageError: it is none of a version that is known.
        """
        try:
            known = json.loads(content)
            if known["schema_version"] != SCHEMA_VERSION:
                raise UsageError(
                    f"{where} has the schema version {known['schema_version']!r}; this crossrank writes "
                    f"{SCHEMA_VERSION}. Give another --out, or --overwrite."
                )
            made = cls(known["job"], [Partition(**partition) for partition in known["partitions"]], known["versions"])
        except (ValueError, KeyError, TypeError) as exc:
            if isinstance(exc, UsageError):
                raise
            raise UsageError(f"{where} is no manifest of a job: {exc!r}. Give another --out.") from exc
        return made


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Raise unless both are the same job, saying what is not.

    Raises:
        UsageError: they differ.
    """
    one, other = _flat(json.loads(json.dumps(before))), _flat(json.loads(json.dumps(now)))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if names:
        told = "; ".join(f"{name} was {_brief(one.get(name))}, is {_brief(other.get(name))}" for name in names[:5])
        raise UsageError(
            f"{where} holds the results of another job: {told}. Give what the job was begun with, another --out, or "
            "--overwrite to begin anew."
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {key: found for part in value for key, found in _flat(value[part], f"{name}.{part}".strip(".")).items()}


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _shown(entry: Entry) -> dict[str, Any]:
    known = asdict(entry)
    return {
        "number": entry.partition.number,
        **{name: known[name] for name in known if name not in ("job", "partition")},
    }
