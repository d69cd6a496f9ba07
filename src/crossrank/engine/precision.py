"""Which precision "auto" is: the fastest that agrees with fp32, as `crossrank doctor --precision` measured it here.

Opening a model has to be quick, so nothing is scored for it: what was measured once is kept in the cache folder, by the
model's files, the instruction set and the version of crossrank, and read from there. Where nothing was measured, the
backend chooses by the processor alone.

It knows files and figures; not pairs, texts or which backend runs.
"""

import dataclasses
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrank import __version__
from crossrank.checkpoint.digest import digest_of
from crossrank.machine import cache_folder, make_private
from crossrank.writing import write_whole

log = logging.getLogger("crossrank")

EXACT = "fp32"  # what the others are compared to
FASTER = 1.05  # a less exact precision has to be so much faster to be worth it
VERSION = 2  # of the file; raised when it changes, or what a precision computes


@dataclass(frozen=True, slots=True)
class Gate:
    """How far a precision must agree with fp32 before "auto" takes it."""

    tau_min: float
    ndcg_difference_max: float


GATES = {"bf16": Gate(0.995, 0.001), "int8": Gate(0.98, 0.003)}


@dataclass(frozen=True, slots=True)
class Measured:
    """One precision of a model on this machine.

    Attributes:
        precision: its name.
        pairs_per_s: speed, tokenising included.
        logit_difference_max: the largest |difference| to a logit in fp32.
        tau: Kendall's tau between its rankings and those of fp32, the mean over queries.
        ndcg: nDCG@10, the mean over queries.
        ndcg_difference: to that of fp32.
    """

    precision: str
    pairs_per_s: float
    logit_difference_max: float
    tau: float
    ndcg: float
    ndcg_difference: float

    @property
    def failures(self) -> list[str]:
        """What keeps it from its gate; nothing where it passes. fp32 always does, an unknown precision never."""
        if self.precision == EXACT:
            return []
        gate = GATES.get(self.precision)
        if gate is None:
            return ["it has no gate"]
        # NOTE: written so that NaN fails.
        failures = [] if self.tau >= gate.tau_min else [f"tau is below {gate.tau_min:g}"]
        if not abs(self.ndcg_difference) <= gate.ndcg_difference_max:
            failures.append(f"nDCG@10 differs by more than {gate.ndcg_difference_max:g}")
        return failures


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured of a model.

    Attributes:
        measured: a precision each, fp32 first, the least exact last.
        on: the name of the set.
        processor: where.
    """

    measured: tuple[Measured, ...]
    on: str
    processor: str

    @property
    def fastest(self) -> str:
        """The precision that "auto" is: of those that pass, the fastest; a less exact one only if it is worth it."""
        best, *others = (one for one in self.measured if not one.failures)
        for one in others:
            if one.pairs_per_s > FASTER * best.pairs_per_s:
                best = one
        return best.precision


def by_exactness(precisions: Collection[str]) -> list[str]:
    """fp32 first, the least exact last."""
    known = (EXACT, *GATES)
    return sorted(precisions, key=lambda name: known.index(name) if name in known else len(known))


def keep(verdict: Verdict, folder: Path, isa: str) -> Path:
    """Write what was measured of the model in `folder` to the cache folder, and return the file.

    Raises:
        OSError: there is no folder that can be written.
    """
    caches = cache_folder()
    if caches is None:
        raise OSError("there is no home folder")
    file = _file(caches, folder, isa)
    make_private(file.parent)
    content = {"version": VERSION, "crossrank": __version__, "isa": isa, **dataclasses.asdict(verdict)}
    write_whole(file, json.dumps(content, indent=2))
    return file


def kept(folder: Path, isa: str, precisions: Collection[str]) -> Verdict | None:
    """What was measured of the model in `folder`; None if nothing was, or not of these precisions."""
    try:
        caches = cache_folder()
        if caches is None or not _verdicts(caches).is_dir():
            return None
        file = _file(caches, folder, isa)
        if not file.is_file():
            return None
        verdict = _verdict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError) as exc:  # not ours to read, of another version, or damaged
        log.info("what was measured of the precisions cannot be read (%s: %s)", type(exc).__name__, exc)
        return None
    return verdict if [one.precision for one in verdict.measured] == by_exactness(precisions) else None


def _verdict(content: Any) -> Verdict:
    if content["version"] != VERSION:
        raise ValueError(f"its version is {content['version']}, not {VERSION}")
    return Verdict(tuple(_measured(one) for one in content["measured"]), str(content["on"]), str(content["processor"]))


def _measured(content: dict[str, Any]) -> Measured:
    name, *figures = (field.name for field in dataclasses.fields(Measured))
    return Measured(str(content[name]), **{figure: float(content[figure]) for figure in figures})


def _verdicts(caches: Path) -> Path:
    return caches / "precision"


def _file(caches: Path, folder: Path, isa: str) -> Path:
    return _verdicts(caches) / f"{digest_of(folder, (__version__, isa))}.json"
