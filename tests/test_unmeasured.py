"""What coverage must not measure it does not."""

import os
import subprocess
import sys
import threading

import pytest

from forked import holds_in_a_child
from unmeasured import unmeasured


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_not_measured() -> None:
    """Nor the threads it starts; the parent is, as before."""
    before = sys.gettrace()
    sys.settrace(before or (lambda *_: None))
    measuring = sys.gettrace()
    try:
        assert holds_in_a_child(lambda: sys.gettrace() is None and threading.gettrace() is None)
        assert sys.gettrace() is measuring
    finally:
        sys.settrace(before)


def test_a_process_that_is_interrupted_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "{}")
    asked = [sys.executable, "-c", "import sys; print(sys.gettrace() is None, 'coverage' in sys.modules)"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120, env=unmeasured())
    assert done.stdout == "True False\n"
