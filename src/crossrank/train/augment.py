"""Small changes to texts that make training broader: keyword queries, dropped words, sentences taken out.

Each takes the random numbers it needs and knows texts only.
"""

import re

import numpy as np

KEYWORDS_MAX = 5
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")
WORD = re.compile(r"[^\W_][\w'+#.-]*")
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about after all also am an and any are as at be because been before being between both but by can could did
        do does doing down during each few for from further had has have having he her here hers him his how i if in
        into is it its just many me more most much my no nor not of off on once only or other our out over own please
        same say said she should so some such than that the their them then there these they this those through to
        too under until up us very was way we were what when where which while who whom whose why will with would you
        your""",
    )
)


def keywords(query: str) -> str:
    """The query's content words in their order, at most five; the query itself if that would leave nothing."""
    words = [word.rstrip(".'-") for word in WORD.findall(query)]
    content = [word for word in words if word.lower() not in FUNCTION_WORDS][:KEYWORDS_MAX]
    return " ".join(content) or query


def drop_words(query: str, share: float, rng: np.random.Generator) -> str:
    """The query without about that share of its words; at least one stays."""
    words = query.split()
    kept = [word for word, keep in zip(words, rng.random(len(words)) >= share, strict=True) if keep]
    return " ".join(kept) or words[0]


def without(document: str, phrase: str) -> str:
    """The document with every verbatim occurrence of the phrase taken out, whatever its case."""
    words = phrase.rstrip(" .:?!")
    if not words:  # an empty pattern would stand between any two letters
        return document
    cut = re.sub(re.escape(words), " ", document, flags=re.IGNORECASE)
    return " ".join(cut.split()) or document


def shortened(text: str, words_max: int) -> str:
    """The text's first words."""
    if text.count(" ") < words_max:
        return text
    words = text.split()
    return text if len(words) <= words_max else " ".join(words[:words_max])


def cloze(document: str, rng: np.random.Generator) -> tuple[str, str] | None:
    """A sentence of the document and the rest of it (the inverse cloze task, Lee et al. 2019); None if it has none fit.

    As there, the sentence stays in its document one time in ten, so that matching words still counts.
    """
    sentences = SENTENCE.split(document)
    fit = [i for i, sentence in enumerate(sentences) if 5 <= sentence.count(" ") < 40]
    if len(sentences) < 3 or not fit:
        return None
    chosen = int(rng.choice(fit))
    rest = sentences if rng.random() < 0.1 else sentences[:chosen] + sentences[chosen + 1 :]
    return sentences[chosen], " ".join(rest)
