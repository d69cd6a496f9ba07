"""What somebody needs of a reranker, checked, and what keeps an offer from it."""

from dataclasses import dataclass

from crossrank.choice.offers import Offer
from crossrank.errors import UsageError

LENGTH = 2  # letters of an ISO 639-1 code


@dataclass(frozen=True, slots=True)
class Needs:
    """What is wanted.

    Attributes:
        latency_ms: for a query and all its documents; None for no limit.
        documents: of a query.
        tokens: of a document.
        language: ISO 639-1; None for English.
        commercial: whether the licence must allow commercial use.
        local: whether texts must stay on this machine.
        max_length: tokens that must be read at once, beyond which documents go in windows; None for any.
        structured: whether something must be published about objects with fields.
    """

    latency_ms: float | None = None
    documents: int = 100
    tokens: int = 128
    language: str | None = None
    commercial: bool = False
    local: bool = False
    max_length: int | None = None
    structured: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be meant."""
        language = self.language
        if language is not None and not (len(language) == LENGTH and language.isascii() and language.islower()):
            raise UsageError(f"language={language!r} is no ISO 639-1 code; give two letters, such as en, de or zh")
        for name in ("latency_ms", "documents", "tokens", "max_length"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value!r} must be above 0")

    def obstacles(self, offer: Offer) -> tuple[str, ...]:
        """What of the offer does not fit, in words; latency aside."""
        found = []
        if not offer.covers(self.language or "en"):
            found.append(f"is for {offer.languages}")
        if self.commercial and not offer.commercial:
            found.append("no licence is stated" if offer.commercial is None else f"{offer.licence}: not commercial")
        if self.local and not offer.local:
            found.append("texts go to the vendor")
        if self.max_length is not None and offer.max_length < self.max_length:
            found.append(f"reads {offer.max_length:,} tokens at once")
        if self.structured and not offer.structured:
            found.append("nothing is published about structured data")
        return tuple(found)
