"""Which model a logit comes from, and how it read: a calibration is for that and nothing else.

It knows the scorer; not curves, labels or files of calibrations.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from crossrank.checkpoint.digest import digest_of
from crossrank.engine.scorer import Scorer

Setting = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Origin:
    """What decides a model's logits.

    Attributes:
        model: its name, for messages.
        fingerprint: of its files, wherever they lie.
        settings: precision, instruction and template, and how long documents are read.
    """

    model: str
    fingerprint: str
    settings: Mapping[str, Setting]

    def differences(self, other: "Origin") -> list[str]:
        """What sets this apart from `other`, in words; nothing where logits mean the same."""
        if self.fingerprint != other.fingerprint:
            return [f"made for another model, {self.model!r}"]
        return [
            f"made with {name}={self.settings.get(name)!r}, not {other.settings.get(name)!r}"
            for name in dict.fromkeys((*self.settings, *other.settings))
            if self.settings.get(name) != other.settings.get(name)
        ]


def origin_of(scorer: Scorer, instruction: str | None) -> Origin:
    """That of an open model which is asked with this instruction."""
    prompt = scorer.profile.prompt
    return Origin(
        scorer.profile.name,
        digest_of(scorer.folder),
        {
            "precision": scorer.backend.facts.precision,
            "instruction": instruction,
            "template": None if prompt is None else prompt.name,
            **asdict(scorer.encoder.config),
        },
    )
