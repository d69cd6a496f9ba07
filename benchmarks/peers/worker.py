"""A peer's process: reads one JSON object a line from stdin, answers with one a line on stdout, holds the model warm.

Runs in the peer's own environment: nothing but the standard library is imported before the runner is.

    {"op": "open", "runner": "ort", "options": {...}, "isa": null}   -> {"detail", "precision", "seconds"}
    {"op": "tune", "pairs": [[query, document], ...]}                -> {"setting", "tried"}
    {"op": "score", "pairs": [[query, document], ...]}               -> {"seconds", "logits", "peak_bytes"}
    any of them                                                      -> {"error": "what went wrong"}
"""

import ctypes
import importlib
import json
import os
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

TUNE_REPEATS = 2
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
ARCH_REQ_XCOMP_PERM = 0x1023
SYS_ARCH_PRCTL = 158  # x86-64


def main() -> int:
    """Serve until stdin ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # even while stopped, a worker does not outlive the benchmark
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log, not into the protocol
    runner: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["op"] == "open":
                started = time.perf_counter()
                if message["isa"] is not None:
                    _refuse_tiles()
                runner = importlib.import_module(f"runners.{message['runner']}").Runner(message["options"])
                seconds = time.perf_counter() - started
                answer = {"detail": runner.detail, "precision": runner.precision, "seconds": seconds, **_memory()}
            else:
                answer = OPERATIONS[message["op"]](runner, message)
        except Exception as exc:  # noqa: BLE001 the other side reports it
            traceback.print_exc()
            answer = {"error": _in_a_line(exc)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _in_a_line(exc: Exception) -> str:
    text = f"{type(exc).__name__}: {' '.join(str(exc).split())}"
    return text if len(text) <= 240 else f"{text[:80]} ... {text[-150:]}"  # the cause often stands last


def _score(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    pairs = [tuple(pair) for pair in message["pairs"]]
    _forget_peak()
    started = time.perf_counter()
    logits = runner.score(pairs)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "logits": [float(logit) for logit in logits], **_memory()}


def _tune(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    """The fastest of the runner's settings on these pairs, which it keeps."""
    pairs = [tuple(pair) for pair in message["pairs"]]
    tried: dict[str, float] = {}
    for setting in runner.settings:
        runner.use(setting)
        seconds = []
        for _ in range(1 + TUNE_REPEATS):
            started = time.perf_counter()
            runner.score(pairs)
            seconds.append(time.perf_counter() - started)
        tried[json.dumps(setting)] = min(seconds[1:])
    best = min(tried, key=lambda setting: tried[setting], default=None)
    if best is not None:
        runner.use(json.loads(best))
        runner.score(pairs)
    return {"setting": best, "tried": tried, **_memory()}


def _peak(runner: Any, _: dict[str, Any]) -> dict[str, Any]:
    return {"flops": runner.measure()}


OPERATIONS = {"score": _score, "tune": _tune, "peak": _peak}


def _memory() -> dict[str, int]:
    """The most resident memory since the last `_forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return {"peak_bytes": int(line.split()[1]) * 1024}
    return {"peak_bytes": 0}


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not permitted everywhere: the peak is then that of the process's life
        sys.stderr.write("the peak of memory cannot be reset\n")


def _prctl(option: int, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*arguments, *[0] * (4 - len(arguments))]
    unsigned = [a if isinstance(a, ctypes.c_void_p) else ctypes.c_ulong(a) for a in padded]
    if libc.prctl(ctypes.c_int(option), *unsigned) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _refuse_tiles() -> None:
    """Linux lends a process AMX only when asked, by arch_prctl; a filter that refuses takes it from any library.

    ONNX Runtime has no switch of its own; this is the only way to keep it to AVX-512 on a machine with tiles.
    """
    if os.uname().machine != "x86_64":
        return
    allow, refuse = 0x7FFF0000, 0x00050000 | 22  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EINVAL
    load, equal, give = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (load, 0, 0, 0),  # the number of the system call
            (equal, 0, 3, SYS_ARCH_PRCTL),
            (load, 0, 0, 16),  # the low half of its first argument
            (equal, 0, 1, ARCH_REQ_XCOMP_PERM),
            (give, 0, 0, refuse),
            (give, 0, 0, allow),
        )
    )
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps)))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, 2, ctypes.cast(header, ctypes.c_void_p))


if __name__ == "__main__":
    sys.exit(main())
