"""What a test goes through: families, and the instruction sets and precisions that this CPU has."""

from crossrank import _native
from crossrank.checkpoint.families import FAMILIES as KNOWN

FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "modernbert")
ENGINES = [(isa, precision) for isa in _native.isas() for precision in _native.precisions(isa)]  # all that this CPU has
OF_TORCH = [name for name, family in KNOWN.items() if not (family.foreign or family.remote_code)]
