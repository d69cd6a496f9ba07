"""What a replica's process does: keep to its cores, open the model, answer batches, and end when its parent does.

Python is started with `main` by `backends.process`, and no file of the user's is run. It knows batches; not what opens
the model, which it is sent.
"""

import os
import pickle  # of whoever started this  # nosec B403
import select
import signal
import socket
import threading
import traceback
from contextlib import suppress

import numpy as np

from crossrank.backends.contract import Backend, Batch
from crossrank.backends.line import Kind, Line
from crossrank.errors import CrossrankError
from crossrank.numa import pin


def main(handle: int, cores: str) -> None:
    """Serve one parent until it is gone.

    Args:
        handle: the number of the socket to the parent.
        cores: numbers of the cores to keep to, with commas between; "" for all.
    """
    # They are for the whole group of processes, or for all of a service; this one ends when its parent does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = Line(socket.socket(fileno=handle), None)
    threading.Thread(target=_end_with_parent, args=(handle,), daemon=True).start()
    if cores:
        pin([int(core) for core in cores.split(",")])
    with suppress(EOFError, ConnectionError):  # the parent is gone
        _serve(line)


def _serve(line: Line) -> None:
    _, (opening, *_) = line.receive()
    try:
        backend: Backend = pickle.loads(opening)()  # noqa: S301 - the parent's own  # nosec B301
    except Exception as exc:  # noqa: BLE001 - whatever it is, the parent tells it
        line.send(Kind.FAILED, _sendable(exc))
        return
    line.send(Kind.OPENED, pickle.dumps((backend.limits, backend.facts)))
    while True:
        kind, parts = line.receive()
        try:
            batch = Batch(*(np.frombuffer(part, np.int32) for part in parts))
            logits = backend.run(batch, exact=kind == Kind.RUN_EXACT)
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever asked must get it
            line.send(Kind.FAILED, _sendable(exc))
        else:
            line.send(Kind.LOGITS, np.ascontiguousarray(logits, np.float32))


def _end_with_parent(handle: int) -> None:
    """Wait until the other end is closed, as it is when the parent dies too; then end at once, even in a batch."""
    closed = select.poll()
    closed.register(handle, 0)  # told of nothing but that
    closed.poll()
    os._exit(0)


def _sendable(error: Exception) -> bytes:
    """The error, pickled, with where it came from unless it is one of ours; what cannot be pickled is put in words."""
    if not isinstance(error, CrossrankError):
        error.add_note("In a replica's process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - some fail only here  # nosec B301
    except Exception:  # noqa: BLE001 - of somebody else's class: anything may fail
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return pickled
