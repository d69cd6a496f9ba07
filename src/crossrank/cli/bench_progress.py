"""How far a benchmark is: a bar over cases on a terminal, nothing in pipes; a word when it is interrupted."""

import sys
from types import TracebackType
from typing import Any, Self

from crossrank.bench.run import Step
from crossrank.cli.printable import printable

NAME_MAX = 60
BAR = "{desc} {n_fmt}/{total_fmt} cases |{bar}| {elapsed}"


class CasesShown:
    """Called at each step."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._last = Step("", 0, 0)

    def __call__(self, step: Step) -> None:
        """Something else is done now."""
        self._last = step
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=step.cases, bar_format=BAR, disable=None, leave=False, dynamic_ncols=True, file=sys.stderr
            )
        self._bar.set_description_str(printable(step.text)[:NAME_MAX], refresh=False)
        self._bar.n = step.cases_done
        self._bar.refresh()

    def __enter__(self) -> Self:
        """Self, for `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        if isinstance(exc, KeyboardInterrupt):
            sys.stderr.write(f"{self._last.cases_done} of {self._last.cases} cases were measured.\n")
