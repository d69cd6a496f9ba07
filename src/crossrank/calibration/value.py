"""A calibration: a curve, the model that it is for, and what it was fitted on. It knows no files and no models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossrank import __version__
from crossrank.calibration.curves import Curve, Logits, Probabilities, curve_of
from crossrank.calibration.origin import Origin
from crossrank.errors import UsageError

VERSION = 1  # of the JSON; raised when a field changes its meaning or goes


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a model's logits to probabilities of relevance. `probability` never falls as the logit rises.

    Attributes:
        curve: a `Platt` or an `Isotonic`.
        origin: the model whose logits it is for; None: whoever uses it answers for that.
        evidence: date, labels and measured reliability, as JSON can hold them; for people, nothing depends on it.
    """

    curve: Curve
    origin: Origin | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def probability(self, logits: Logits) -> Probabilities:
        """Probabilities of relevance float64 [n] of logits float32 [n]; NaN of NaN."""
        return self.curve.probability(np.asarray(logits, np.float32))

    def check(self, origin: Origin, name: str) -> None:
        """Raise UsageError unless it is for logits of `origin`; `name` is what the message calls it."""
        if self.origin is None or not (differences := self.origin.differences(origin)):
            return
        raise UsageError(
            f"{name} is not for {origin.model!r} as it is opened here: it was {', '.join(differences)}. Open the model "
            "that way, fit another (crossrank calibrate MODEL --labels FILE), or give calibration=None for none."
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        origin = self.origin
        made_for = origin and {
            "model": origin.model,
            "fingerprint": origin.fingerprint,
            "settings": dict(origin.settings),
        }
        return {
            "version": VERSION,
            "crossrank": __version__,
            "curve": self.curve.as_json(),
            "origin": made_for,
            "evidence": dict(self.evidence),
        }

    @classmethod
    def of_json(cls, content: Any) -> "Calibration":
        """The calibration of what `as_json` gave.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is something else.
        """
        if content["version"] != VERSION:
            raise ValueError(f"its version is {content['version']!r}, where {VERSION} is understood")
        origin = content["origin"]
        made_for = origin and Origin(str(origin["model"]), str(origin["fingerprint"]), dict(origin["settings"]))
        return cls(curve_of(content["curve"]), made_for, dict(content["evidence"]))
