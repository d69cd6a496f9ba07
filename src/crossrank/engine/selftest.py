"""A look at a model that was just opened: four short pairs tell a broken checkpoint from one that works.

A head that was lost, a tokenizer of another model or a wrong template gives scores that look like any others; here they
are seen before anyone relies on them. It knows the scorer; not documents or how a model is opened.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from crossrank.checkpoint.catalogue import golden
from crossrank.engine.pair import Pair
from crossrank.engine.scorer import Scorer
from crossrank.errors import CheckpointError, CrossrankError

log = logging.getLogger("crossrank")

EQUAL = 1e-6  # logits that differ by less are one
DISTINCT_MIN = 2  # tokens that a sentence is made of, if most of its words are unknown
FAR, FAR_AT_MOST = {"fp32": 2e-3}, 1.0  # from a verified model's logits, by precision
PROBES = (  # query, what answers it, what does not
    ("how many legs does a spider have", "A spider has eight legs.", "The stock market closed higher on Friday."),
    (
        "who wrote Romeo and Juliet",
        "Romeo and Juliet is a play by William Shakespeare.",
        "Photosynthesis turns light into sugar.",
    ),
)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a model says of the probes.

    Attributes:
        logits: by probe, of the document that answers the query and of the one that does not.
        doubts: what looks wrong, in words; nothing where all is well.
    """

    logits: tuple[tuple[float, float], ...]
    doubts: tuple[str, ...]


def self_test(scorer: Scorer) -> SelfTest:
    """Score the probes; what looks wrong is logged as a warning.

    Raises:
        CheckpointError: the model tells no probe from any other, or gives no numbers.
    """
    _check_words(scorer)
    pairs = [Pair(query, document) for query, *documents in PROBES for document in documents]
    name = scorer.profile.name
    try:
        results = replace(scorer, cache=None).score(pairs).results
    except CrossrankError as exc:
        if not isinstance(exc, ArithmeticError):
            raise
        raise CheckpointError(f"{exc} It was found when the model was opened, on a probe.") from exc
    logits = {pair: results[pair].logit for pair in pairs}
    if max(logits.values()) - min(logits.values()) <= EQUAL:
        raise CheckpointError(
            f"{name!r} gives the same logit ({logits[pairs[0]]:g}) to pairs that have nothing in common. Its head is "
            "likely not trained, or all zero. Use a checkpoint that was trained and saved as a reranker."
        )
    outcome = _outcome(scorer, logits)
    for doubt in outcome.doubts:
        log.warning("%s: %s", name, doubt)
    return outcome


def _outcome(scorer: Scorer, logits: Mapping[Pair, float]) -> SelfTest:
    found = tuple((logits[Pair(query, on)], logits[Pair(query, off)]) for query, on, off in PROBES)
    doubts = _other_than_verified(scorer, list(logits.values()))
    if any(on > off for on, off in found):
        return SelfTest(found, doubts)
    doubt = (
        "no document that answers a query gets a higher score than one that has nothing to do with it. It may not be "
        "trained as a reranker, be asked by the wrong template, be meant for another language than English, or have "
        "its labels the other way round."
    )
    return SelfTest(found, (*doubts, doubt))


def _other_than_verified(scorer: Scorer, logits: list[float]) -> tuple[str, ...]:
    """What to say of a known model that gives other logits than the reference did when it was verified."""
    known = golden(scorer.profile.name)
    if known is None or scorer.encoder.asked_otherwise:
        return ()
    difference = max(abs(a - b) for a, b in zip(logits, known.logits, strict=True))
    allowed = FAR.get(scorer.backend.facts.precision, FAR_AT_MOST)
    if difference <= allowed:
        return ()
    doubt = (
        f"it gives logits that are up to {difference:.3g} from those that its authors' code gave on {known.date} "
        f"(revision {known.revision}); {allowed:g} is what the precision explains. It may be another revision, or be "
        "damaged."
    )
    return (doubt,)


def _check_words(scorer: Scorer) -> None:
    """Raise if the tokenizer makes the same one or two tokens of every word: it was made for another model."""
    texts = [text for probe in PROBES for text in probe]
    tokens = scorer.encoder.tokens(texts)
    if all(len(set(tokens[text].ids.tolist())) <= DISTINCT_MIN for text in texts):
        raise CheckpointError(
            f"The tokenizer of {scorer.profile.name!r} knows none of the words of plain English sentences: it belongs "
            "to another model. Download or export the model again."
        )
