"""The terminal as rich writes to it, alike for all commands. It knows the environment; not what is shown."""

import os
import shutil

from rich.console import Console

DUMB = ("dumb", "unknown")  # of which rich takes the width for 80


def terminal() -> Console:
    """Without markup, and without colours where NO_COLOR asks for none; as wide as the terminal is."""
    columns, lines = shutil.get_terminal_size() if os.environ.get("TERM") in DUMB else (None, None)
    return Console(
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=columns,
        height=lines,
        highlight=False,
        markup=False,
        emoji=False,
    )
