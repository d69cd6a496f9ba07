"""Writes the table of settings into docs/server.md, from the settings themselves."""

import re
from itertools import groupby
from pathlib import Path

from crossrank.server.settings import flag, table, variable

PAGE = Path(__file__).resolve().parent.parent / "docs" / "server.md"
SECTION = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)


def settings() -> str:
    """The table as Markdown, a group after the other."""
    lines: list[str] = []
    for group, items in groupby(table(), lambda item: item.metadata["group"]):
        lines += [f"**{group}**", "", "| flag | variable | default | |", "|---|---|---|---|"]
        for item in items:
            # By its repr: 1 == True, and 0 == False.
            default = {"()": "", "None": "", "True": "on", "False": "off"}.get(repr(item.default), f"`{item.default}`")
            lines.append(f"| `{flag(item.name)}` | `{variable(item.name)}` | {default} | {item.metadata['meaning']} |")
        lines.append("")
    return "\n" + "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(SECTION.sub(lambda _: settings(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
