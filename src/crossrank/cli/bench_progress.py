"""How far a benchmark is: a bar over cases on a terminal, nothing in pipes; a word when it is interrupted."""

from crossrank.bench.run import Step
from crossrank.cli.printable import printable
from crossrank.cli.progress import Shown, terminal_bar

NAME_MAX = 60
BAR = "{desc} {n_fmt}/{total_fmt} cases |{bar}| {elapsed}"


class CasesShown(Shown):
    """Called at each step."""

    def __init__(self) -> None:
        self._last = Step("", 0, 0)

    def __call__(self, step: Step) -> None:
        """Something else is done now."""
        self._last = step
        if self.bar is None:
            self.bar = terminal_bar(step.cases, BAR)
        self.bar.set_description_str(printable(step.text)[:NAME_MAX], refresh=False)
        self.bar.n = step.cases_done
        self.bar.refresh()

    def when_interrupted(self) -> str:
        """How far it came."""
        return f"{self._last.cases_done} of {self._last.cases} cases were measured."
