"""docs/devices.md is true in what it says of numbers, options and commands; tests/test_docs.py runs its example."""

import inspect
import re
from pathlib import Path

import pytest

from crossrank import CrossEncoder, Reranker
from crossrank.backends.contract import HURRIED_TOKENS
from crossrank.backends.process import SILENT_S
from crossrank.cli.rank import command as rank
from crossrank.cli.serve import command as serve

ROOT = Path(__file__).resolve().parent.parent
TEXT = " ".join((ROOT / "docs" / "devices.md").read_text(encoding="utf-8").split())


def test_numbers_are_those_of_the_code() -> None:
    """Sizes of shares, and when a process is given up."""
    torch = pytest.importorskip("crossrank.backends.torch")
    assert f"({HURRIED_TOKENS} tokens on a CPU, {torch.GPU_HURRIED_TOKENS:,} on a GPU)" in TEXT
    assert SILENT_S == 30 * 60
    assert "says nothing for half an hour" in TEXT


def test_options_and_files_are_there() -> None:
    """Those that the page names."""
    for opened in (Reranker, CrossEncoder):
        assert {"devices", "replicas"} <= set(inspect.signature(opened.__init__).parameters)
    for command in (rank, serve):
        flags = {flag for option in command.params for flag in option.opts}
        assert {"--devices", "--replicas"} <= flags
    assert {"--workers", "--memory-max-mb"} <= {flag for option in serve.params for flag in option.opts}
    for file in re.findall(r"`((?:tests|benchmarks)/[a-z_]+\.py)", TEXT):
        assert (ROOT / file).is_file(), file
