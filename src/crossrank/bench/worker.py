"""The child's side: reads one JSON object a line from stdin, answers with one a line on stdout, holds a ranker warm.

It may run in an environment that has no crossrank: nothing but the standard library is imported before the runner is,
which is a module with a class `Runner(options)` that has `score(pairs)`, `precision`, `device` and `detail`, and where
there is something to tune, `settings` and `use(setting)`.

    {"op": "open", "runner": "module", "options": {...}, "first": null}  -> {"detail", "precision", "device", "seconds"}
    {"op": "tune", "pairs": [[query, document], ...], "repeats": 2}      -> {"setting", "tried"}
    {"op": "score", "pairs": [[query, document], ...]}                   -> {"seconds", "scores", "peak_bytes", "told"}
    {"op": "call", "name": "method"}                                     -> {"answer"}
    any of them                                                          -> {"error": "what went wrong"}

`first` is a "module:function" that is called before the runner is imported.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


def main() -> int:
    """Serve until stdin ends."""
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log, not into the protocol
    runner: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["op"] == "open":
                runner, answer = _open(message)
            else:
                answer = OPERATIONS[message["op"]](runner, message)
        except Exception as exc:  # noqa: BLE001 - the other side reports it
            traceback.print_exc()
            answer = {"error": _in_a_line(exc)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _open(message: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    started = time.perf_counter()
    if message.get("first"):
        module, _, function = message["first"].partition(":")
        getattr(importlib.import_module(module), function)()
    kind = importlib.import_module(message["runner"]).Runner
    imported = time.perf_counter()
    runner = kind(message["options"])
    opened = time.perf_counter()
    return runner, {
        "detail": runner.detail,
        "precision": runner.precision,
        "device": getattr(runner, "device", "cpu"),
        "import_seconds": imported - started,
        "seconds": opened - started,
        **_memory(),
    }


def _score(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    pairs = [tuple(pair) for pair in message["pairs"]]
    _forget_peak()
    started = time.perf_counter()
    scores = runner.score(pairs)
    seconds = time.perf_counter() - started
    told = runner.told(pairs) if hasattr(runner, "told") else {}
    return {"seconds": seconds, "scores": [float(score) for score in scores], "told": told, **_memory()}


def _tune(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    """The fastest of the runner's settings on these pairs, which it keeps."""
    pairs = [tuple(pair) for pair in message["pairs"]]
    tried: dict[str, float] = {}
    for setting in getattr(runner, "settings", ()):
        runner.use(setting)
        seconds = []
        for _ in range(1 + message["repeats"]):
            started = time.perf_counter()
            runner.score(pairs)
            seconds.append(time.perf_counter() - started)
        tried[json.dumps(setting)] = min(seconds[1:])
    best = min(tried, key=lambda setting: tried[setting], default=None)
    if best is not None:
        runner.use(json.loads(best))
        runner.score(pairs)
    return {"setting": best, "tried": tried, **_memory()}


def _call(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    return {"answer": getattr(runner, message["name"])()}


OPERATIONS = {"score": _score, "tune": _tune, "call": _call}


def _memory() -> dict[str, int]:
    """The most resident memory since the last `_forget_peak`; elsewhere than on Linux, since the process began."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak_bytes": peak if sys.platform == "darwin" else peak * 1024}
    return {"peak_bytes": next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)}


def _forget_peak() -> None:
    try:
        CLEAR.write_text("5")
    except OSError:  # not permitted everywhere: the peak is then that of the process's life
        sys.stderr.write("the peak of memory cannot be reset\n")


def _end_with_parent() -> None:
    """Even while stopped, a worker does not outlive the benchmark, whatever ends that. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)


def _in_a_line(exc: Exception) -> str:
    text = f"{type(exc).__name__}: {' '.join(str(exc).split())}"
    return text if len(text) <= 240 else f"{text[:80]} ... {text[-150:]}"  # the cause often stands last


if __name__ == "__main__":
    sys.exit(main())
