"""The entry point: parses, runs, and turns every ending into the exit code it should have.

0 done, 1 our failure, 2 the caller's mistake (the remedy on stderr, no traceback), 130 interrupted.
"""

try:
    import io
    import os
    import signal
    import sys
    import threading
    from collections.abc import Callable
    from contextlib import suppress
    from typing import NoReturn, TextIO

    import click

    from crossrank.cli.group import cli
    from crossrank.cli.printable import printable
    from crossrank.errors import CheckpointError, CrossrankError, ModelNotFoundError, UnsupportedModelError, UsageError
except KeyboardInterrupt:  # Ctrl-C while Python is still reading these
    raise SystemExit(130) from None

# Of ours, TypeError is ArgumentTypeError and ImportError is MissingExtra.
MISTAKES = (UsageError, TypeError, ImportError, ModelNotFoundError, CheckpointError, UnsupportedModelError)

INTERRUPTED = 130
THREADS_S_MAX = 10.0  # for what other threads are at when Ctrl-C was pressed


def main() -> NoReturn:
    """Run the command line and exit."""
    code = run(_cli)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; a late Ctrl-C would only add a traceback
    if code == INTERRUPTED:
        _end_within(THREADS_S_MAX, code)
    sys.exit(code)


def run(call: Callable[[], object]) -> int:
    """The exit code of a call, which may return one; whatever message belongs to it has been written to stderr."""
    try:
        code = call()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        usage = io.StringIO()
        exc.show(usage)
        _told(lambda: sys.stderr.write(usage.getvalue()))
        return 2
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # the reader (head, less) has seen enough; click exits for that and only that
        _abandon(sys.stdout)
    except CrossrankError as exc:
        return _complain(str(exc), 2 if isinstance(exc, MISTAKES) else 1)
    except MemoryError:
        return _complain("there is not enough memory for this; give fewer or shorter documents, or a smaller model", 1)
    except OSError as exc:  # a full disk or a closed terminal behind stdout
        _abandon(sys.stdout)
        return _complain(str(exc) if exc.filename else f"the output could not be written: {exc.strerror or exc}", 1)
    return 0


def _cli() -> object:
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - lives as long as the process
    if sys.stdout is None:
        raise OSError("standard output is closed")
    for stream in (sys.stdout, sys.stderr):  # UTF-8 whatever the locale; in JSON, \udcff stays what it stands for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return cli.main(standalone_mode=False)  # the exit code, where a command ends with one


def _end_within(seconds: float, code: int) -> None:
    """See to it that the process ends, whatever becomes of its threads: one waits for the others when it exits."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


def _complain(message: str, code: int) -> int:
    from crossrank.cli.facts import say

    _told(lambda: say(f"crossrank: {printable(message)}", err=True))
    return code


def _told(tell: Callable[[], object]) -> None:
    try:
        tell()
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)


def _abandon(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere, so that Python does not fail once more when it exits."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
