"""What a model card says of languages: the metadata at the top of README.md, where it lies beside the model.

It knows the card's front matter; not the catalogue, nor anything else that is written there.
"""

import logging
from pathlib import Path

log = logging.getLogger("crossrank")

CARD = "README.md"
MARK = "---\n"
READ_MAX = 65_536  # characters; the metadata stand at the top


def card_languages(folder: Path) -> frozenset[str]:
    """ISO 639-1 codes; empty without a card, where it says nothing, and where it speaks of many languages."""
    if not (folder / CARD).is_file():  # or a pipe, which would be waited for
        return frozenset()
    try:
        with (folder / CARD).open(encoding="utf-8") as card:
            text = card.read(READ_MAX)
    except (OSError, UnicodeDecodeError):
        return frozenset()
    if not text.startswith(MARK) or MARK not in text[len(MARK) :]:
        return frozenset()
    import yaml

    try:
        metadata = yaml.safe_load(text[len(MARK) :].split(MARK, 1)[0])
    except (yaml.YAMLError, ValueError, RecursionError) as exc:  # a date that cannot be, lists without an end
        log.info("the card in %s cannot be read (%s)", folder, exc)
        return frozenset()
    given = metadata.get("language") if isinstance(metadata, dict) else None
    codes = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    known = all(isinstance(code, str) and len(code) == 2 for code in codes)
    return frozenset(codes) if known else frozenset()
