"""What a page of documentation holds that can be run: its blocks of code, with what it says they print.

The conventions, which CONTRIBUTING.md tells whoever writes a page:

- ```python blocks run in order, in one session. A ```text block that follows directly is what one prints.
- ```console blocks are commands after `$ `, each with what it prints below it; a line `...` stands for any lines.
- A block of data that a paragraph with a file name (`tickets.csv`:) introduces is that file.
- `<!-- not run: why -->` on the line before a block leaves it out.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
DATA = frozenset({"csv", "json", "jsonl", "toml", "trec", "tsv", "yaml"})
CODE = frozenset({"console", "python"})
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=fence)\n", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n\Z")
NAMED = re.compile(r"`([\w./-]+\.\w+)`[^`]*:\n\n\Z|`([\w./-]+\.\w+)` [^`]*(?:\.|:)\n\n\Z")
NUMBER = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.1  # of figures with a decimal point: precisions and processors differ by less


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        line: where it begins, from 1.
        shown: what the page says it prints, if it says so.
        file: which file it is, of data.
        not_run: why it is left out.
    """

    line: int
    language: str
    code: str
    shown: str | None = None
    file: str | None = None
    not_run: str | None = None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Of a console: each command, with what it prints."""
        parts = re.split(r"^\$ ", self.code, flags=re.MULTILINE)
        assert not parts[0].strip(), f"line {self.line}: a console begins with a command"
        found = []
        for part in parts[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)
            assert command is not None
            found.append((command[0].strip(), part[command.end() :]))
        return found


def blocks(text: str) -> list[Block]:
    """All of a page, in order."""
    found: list[Block] = []
    end = 0
    for fence in FENCE.finditer(text):
        before, language, code = text[end : fence.start()], fence["language"], fence["code"]
        end = fence.end()
        if language == "text" and found and before.strip() in ("", "prints") and found[-1].language == "python":
            found[-1] = Block(**{**vars(found[-1]), "shown": code})
            continue
        left_out = NOT_RUN.search(before)
        named = NAMED.search(before) if language in DATA else None
        found.append(
            Block(
                line=text.count("\n", 0, fence.start()) + 1,
                language=language,
                code=code,
                file=None if named is None else named[1] or named[2],
                not_run=None if left_out is None else left_out[1],
            )
        )
    return found


def differs(shown: str, printed: str) -> str | None:
    """The first line that is not as the page has it; None where all are. Spaces and close figures count as equal."""
    there = [_spaced(line) for line in printed.splitlines() if line.strip()]
    at, anything = 0, False
    for line in (_spaced(line) for line in shown.splitlines() if line.strip()):
        if line == "...":
            anything = True
            continue
        while anything and at < len(there) and not _same(line, there[at]):
            at += 1
        if at == len(there) or not _same(line, there[at]):
            return f"shown:   {line}\nprinted: {there[at] if at < len(there) else '(nothing more)'}"
        at, anything = at + 1, False
    return f"printed beyond what is shown: {there[at]}" if at < len(there) and not anything else None


def _spaced(line: str) -> str:
    return " ".join(line.split())


def _same(shown: str, printed: str) -> bool:
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(float(one) - float(other)) <= TOLERANCE for one, other in pairs)
