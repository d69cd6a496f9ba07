"""Every failure of ours, as one tree. Each message says what was given, what is allowed and what to do.

It knows nothing of the rest of the package.

    CrossrankError
    ├── UsageError (ValueError)             the caller's mistake: a value we cannot take
    │   ├── QueryTooLongError               the query alone does not fit into the model
    │   ├── DocumentError                   a document without the wanted field, or too long to be read whole
    │   │   └── ColumnError (KeyError)      a table without the column of texts
    │   ├── IndexFolderError (OSError)      an index on disk that cannot be read, or made
    │   └── InputFileError (OSError)        a file of documents that cannot be read or parsed
    ├── ArgumentTypeError (TypeError)       the caller's mistake: a value of the wrong type
    ├── ClosedError (RuntimeError)          used after close()
    ├── MissingExtra (ImportError)          an optional part is not installed; names the pip command
    ├── ModelError (OSError)                the model cannot be had
    │   ├── ModelNotFoundError              no such folder, name or revision
    │   ├── HubError (ConnectionError)      the hub cannot be reached and the cache does not hold the model
    │   ├── CheckpointError (ValueError)    files that are missing, corrupt or contradict each other
    │   │   └── WeightsError                weights missing, unused, or of another shape
    │   └── UnsupportedModelError           a sound checkpoint that crossrank cannot score (yet)
    ├── NotFiniteError (ArithmeticError)    the model gives NaN or infinity for a pair, in fp32 too
    ├── OutOfMemoryError (MemoryError)      the device has no memory for one pair
    ├── ReplicaError (RuntimeError)         a process or GPU of the model is lost, and no other could help
    ├── RemoteError (ConnectionError)       a remote reranker failed or answered nonsense
    │   ├── VendorError                     in crossrank.remote: with vendor, status, request id
    │   └── BudgetError                     in crossrank.remote: `cost_max_usd` does not suffice
    ├── WireError (ValueError)              in crossrank.wire: a body that is not what its dialect says
    ├── OverloadError (RuntimeError)        too much is waiting already; carries `retry_after_s`
    └── DeadlineError (TimeoutError)        the deadline passed before there was anything to return
"""

MESSAGE_MAX = 1_500  # characters of an error about files that others wrote


class CrossrankError(Exception):
    """The root: `except CrossrankError` catches every failure that crossrank raises on purpose."""


class UsageError(CrossrankError, ValueError):
    """The caller gave a value that cannot be taken."""


class QueryTooLongError(UsageError):
    """The query and the model's special tokens leave no room for a document."""


class DocumentError(UsageError):
    """A document does not have what was asked of it."""


class ColumnError(DocumentError, KeyError):
    """A table does not have the column of texts."""

    __str__ = Exception.__str__  # a KeyError would quote its message


class InputFileError(UsageError, OSError):
    """A file of documents cannot be read or parsed."""


class IndexFolderError(UsageError, OSError):
    """An index on disk cannot be read, or made."""


class ArgumentTypeError(CrossrankError, TypeError):
    """The caller gave a value of a type that cannot be taken."""


class ClosedError(CrossrankError, RuntimeError):
    """The object was used after `close()`."""


class MissingExtra(CrossrankError, ImportError):  # noqa: N818 - the name is part of the public contract
    """An optional part is not installed; the message holds the exact pip command."""


class ModelError(CrossrankError, OSError):
    """The model cannot be had."""

    def __str__(self) -> str:
        """The message; its middle is left out where a file's content made it long."""
        text = super().__str__()
        return text if len(text) <= MESSAGE_MAX else f"{text[: MESSAGE_MAX // 2]} ... {text[-MESSAGE_MAX // 4 :]}"


class ModelNotFoundError(ModelError):
    """There is no model of that name, folder or revision."""


class HubError(ModelError, ConnectionError):
    """The model hub cannot be reached, refuses, or the download cannot be stored."""


class CheckpointError(ModelError, ValueError):
    """The model's files are missing, corrupt, or contradict each other."""


class WeightsError(CheckpointError):
    """The weights do not fit the architecture exactly."""


class UnsupportedModelError(ModelError):
    """The checkpoint is sound, but crossrank cannot score it (yet)."""


class NotFiniteError(CrossrankError, ArithmeticError):
    """The model's logit for a pair is NaN or infinite, in fp32 too."""


class OutOfMemoryError(CrossrankError, MemoryError):
    """The device has no memory even for a single pair."""


class ReplicaError(CrossrankError, RuntimeError):
    """A process or a GPU that the model ran on is lost, and what it was at could not be done elsewhere."""


class RemoteError(CrossrankError, ConnectionError):
    """A remote reranker failed, or answered something that cannot be a ranking."""


class OverloadError(CrossrankError, RuntimeError):
    """Too much work is waiting already; try again after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineError(CrossrankError, TimeoutError):
    """The deadline passed before there was anything to return."""
