"""What happens in a run, as values; whoever listens decides what to show. It knows nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preparing:
    """Work before the first step: `done` of `total` in a stage of a source."""

    source: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """Steps since the last such event: their mean loss and rate, and what is left at that rate."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    pairs_per_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Measures by set after a step."""

    step: int
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint, or at the end the model, is complete on disk."""

    step: int
    folder: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is allowed but doubtful."""

    text: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Ctrl-C or SIGTERM was heard, in a signal handler: the step in progress ends first, and is saved."""


Event = Preparing | Stepped | Evaluated | Saved | Warned | Stopping
Emit = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Listen to nothing."""
