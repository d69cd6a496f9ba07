"""Text that was written by others, made safe for a terminal or for a line of a table. It knows characters only."""

import re
import unicodedata

# Whole sequences first, so that no "[31m" is left behind: CSI, then strings (OSC, DCS, SOS, PM, APC), then short ones.
# NOTE: a string holds no beginning of another, or a text of beginnings would be read to its end from each of them.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # would turn around what stands beside them


def printable(text: str) -> str:
    """One line without escape sequences, control characters and overrides of direction; white space becomes a space."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    line = " ".join(ESCAPES.sub("", text).split())
    return "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cs") and c not in DIRECTIONS)
