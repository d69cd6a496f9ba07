"""Where the sentences and words of a text are, in any script: pure functions on characters.

It knows no scores, tokens or models.
"""

import re
import unicodedata
from itertools import groupby, pairwise

Ranges = list[tuple[int, int]]  # characters (start, end)

FOLLOWING, WORD_MAX = 8, 16  # characters that are looked at after and before the end of a sentence
SHORT = 3  # letters of a word that is taken for an abbreviation

# What ends a sentence by Unicode's property Sentence_Terminal, as far as living scripts use it; and the ellipsis.
SPACED_ENDS = ".!?…؟۔܀܁܂।॥။፧።៕։՜՞᠃᠉⁇⁈⁉‼‽᙮"  # ends one where white space follows
WIDE_ENDS = "。！？｡．"  # ends one whatever follows
CLOSING = "\"'”’»›)]}」』】）〉》〕"
# NOTE: possessive, and a run that ends nothing is taken too (`glued`): a character is looked at once, whatever comes.
SENTENCE = re.compile(
    rf"[{re.escape(WIDE_ENDS)}]++[{re.escape(CLOSING)}]*+"
    rf"|(?P<glued>[{SPACED_ENDS}]++[{re.escape(CLOSING)}]*+(?!\s))|[{SPACED_ENDS}]++[{re.escape(CLOSING)}]*+|\n"
)
# Scripts that do not put spaces between words, one character a word: kana, bopomofo, ideographs.
ONE_BY_ONE = (
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{ONE_BY_ONE}]|[^\s{ONE_BY_ONE}]+")


def sentences(text: str, start: int, end: int) -> Ranges:
    """Sentences and lines within text[start:end], without the white space around them.

    A full stop ends one where white space follows: "3.14" stays whole. Before a small letter it does not if it closes a
    short word, or one with a stop in it, or a quotation: "e.g. this", "etc. and" and '"No!" he said' stay whole too.
    "Dr. Who" does not.
    """
    edges = [start]
    for found in SENTENCE.finditer(text, start, end):
        if found["glued"] is not None:
            continue
        following = text[found.end() : found.end() + FOLLOWING].lstrip()[:1]
        if not (following.islower() and _goes_on(text, found)):
            edges.append(found.end())
    return [one for one in (_stripped(text, a, b) for a, b in pairwise([*edges, end])) if one[0] < one[1]]


def _goes_on(text: str, found: re.Match[str]) -> bool:
    """Whether a sentence goes on after this end of one, if a small letter follows."""
    mark = found[0]
    word = text[max(0, found.start() - WORD_MAX) : found.start()].rpartition(" ")[2]
    return mark[-1] in CLOSING or (mark == "." and (len(word) <= SHORT or "." in word))


def words(text: str, start: int, end: int) -> Ranges:
    """Words within text[start:end], without punctuation around them; each ideograph and kana is one."""
    found = (_bare(text, *one.span()) for one in WORD.finditer(text, start, end))
    return [one for one in found if one[0] < one[1]]


def grouped(ranges: Ranges, units_max: int) -> Ranges:
    """At most `units_max` ranges: neighbours together, in parts of about equal length, where there are more."""
    if len(ranges) <= units_max:
        return ranges
    first, length = ranges[0][0], ranges[-1][1] - ranges[0][0]
    parts = [list(part) for _, part in groupby(ranges, key=lambda one: (one[0] - first) * units_max // length)]
    return [(part[0][0], part[-1][1]) for part in parts]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Without punctuation at either end; symbols stay, "C++" and "5€" are words."""
    while start < end and unicodedata.category(text[start]).startswith("P"):
        start += 1
    while start < end and unicodedata.category(text[end - 1]).startswith("P"):
        end -= 1
    return start, end
