"""A warning, once a model and process, when texts are clearly in a language that the model is not meant for.

py3langid (the extra `language`) tells languages; without it nothing is looked at. A few texts are taken from each call,
until three are found that ask for a closer look; that look is taken once, in a thread, as the detector takes most of a
second and 100 MB to load. Then, or after enough texts of the model's own language, the guard sleeps for good.

It knows texts and codes of languages; nothing of scores, and it never raises.
"""

import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from crossrank.checkpoint.card import card_languages
from crossrank.checkpoint.catalogue import known_languages
from crossrank.engine.pair import Pair
from crossrank.threads import begin_thread

log = logging.getLogger("crossrank")

VARIABLE = "CROSSRANK_LANGUAGE_GUARD"
OFF = ("0", "off", "false", "no")
LANGUAGES_MAX = 2  # what learned more reads others too, if less well
PER_CALL = 4  # texts that are looked at
TEXTS_MAX = 32  # after which nothing more is looked at
DOUBTFUL = 3  # texts that are worth the detector
BYTES_MIN = 40  # shorter texts say too little; where a letter takes more of them, it says more
LETTERS_MAX = 400
SURE, LIKELY = 0.9, 0.5  # the detector's probability; the latter where the script alone tells that it is another one
# Common in English and in no other language written in Latin letters: a sentence that has some needs no detector. "to"
# and "of" are words elsewhere too, which is why one is not enough; "in", "is", "on" and "was" are so in too many.
ENGLISH = re.compile(
    r"\b(?:the|and|of|with|this|that|are|from|which|to|you|it|has|been|were|their|they|his|its|not|what|who|when|where|how"
    r"|there|would|could|should|about|than|into|after|other|first|between|through|our|your|while|only|such|these|those"
    r"|because|some|many|two|used|called|known|then)\b"
)
SHORT, FEW, SOME = 120, 2, 3  # a text of fewer letters is English with two of them, a longer one with three

Identify = Callable[[str], tuple[str, float]]  # a text's ISO 639-1 code, and how likely it is


def guard_of(name: str, folder: Path) -> "LanguageGuard | None":
    """The guard of a model that is known to be for one language or two; None for all others, and where it is off."""
    if os.environ.get(VARIABLE, "").strip().lower() in OFF or find_spec("py3langid") is None:
        return None
    known = known_languages(name)
    languages = card_languages(folder) if known is None else known
    return LanguageGuard(name, languages) if 0 < len(languages) <= LANGUAGES_MAX else None


class LanguageGuard:
    """Looks at texts until it knows enough.

    Args:
        name: of the model.
        languages: ISO 639-1 codes that it is meant for.
        opener: opens the detector.
    """

    def __init__(self, name: str, languages: frozenset[str], *, opener: Callable[[], Identify] | None = None) -> None:
        self.awake = True
        self._name, self._languages = name, languages
        self._opener = opener or detector
        self._looked, self._doubtful = 0, list[str]()

    def look(self, pairs: Sequence[Pair]) -> None:
        """Take a few of a call's texts; where they are doubtful, have them looked at closely, aside."""
        step = max(1, len(pairs) // PER_CALL)
        for pair in pairs[::step][:PER_CALL]:
            text = pair.document[:LETTERS_MAX]
            if len(text.encode()) < BYTES_MIN:
                continue
            self._looked += 1
            if not ("en" in self._languages and _english(text)):
                self._doubtful.append(text)
        if len(self._doubtful) >= DOUBTFUL:
            self.awake = False
            begin_thread(self._judge, "crossrank-language")
        elif self._looked >= TEXTS_MAX:
            self.awake = False

    def _judge(self) -> None:
        """Warn if most of the doubtful texts are surely in other languages."""
        try:
            identify = self._opener()
            told = [(*identify(text), LIKELY if _other_script(text) else SURE) for text in self._doubtful]
            foreign = Counter(code for code, sure, least in told if code not in self._languages and sure >= least)
        except Exception as exc:  # noqa: BLE001 - whatever a detector raises, scores are not its business
            log.info("the language of texts could not be told (%s: %s)", type(exc).__name__, exc)
            return
        finally:
            self._doubtful = []  # nobody's texts stay
        if 2 * foreign.total() > len(told) and _turn(self._name).acquire(blocking=False):
            code = foreign.most_common(1)[0][0]
            log.warning(
                "%s is meant for the language %s, but texts here are in %s, of which its scores say little. `crossrank "
                "models --recommend --language %s` shows others. language_guard=False, or %s=off, ends this.",
                self._name,
                ", ".join(sorted(self._languages)),
                code,
                code,
                VARIABLE,
            )


def _english(text: str) -> bool:
    return len(set(ENGLISH.findall(text.lower()))) >= (FEW if len(text) < SHORT else SOME)


def _other_script(text: str) -> bool:
    """Whether most letters are of a script that no language written in Latin letters has."""
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter.isascii() for letter in letters) < len(letters)


@cache
def _turn(name: str) -> threading.Lock:
    """A lock for each model, which whoever warns takes for good."""
    assert name, "bug: a model without a name"
    return threading.Lock()


def detector() -> Identify:
    """Opens py3langid's own model: most of a second, 100 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(text: str) -> tuple[str, float]:
        code, sure = identifier.classify(text)
        return str(code), float(sure)

    return identify
