"""From logits to probabilities of relevance: the value that does it, which model it is for, and where it is kept.

Applying a calibration needs numpy only; fitting one is `crossrank.evaluate.calibrate`.
"""

from crossrank.calibration.curves import Isotonic, Platt
from crossrank.calibration.origin import Origin, origin_of
from crossrank.calibration.store import Given, beside, file_of_name, opened, read, write
from crossrank.calibration.value import Calibration

__all__ = [
    "Calibration",
    "Given",
    "Isotonic",
    "Origin",
    "Platt",
    "beside",
    "file_of_name",
    "opened",
    "origin_of",
    "read",
    "write",
]
