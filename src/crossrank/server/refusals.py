"""Every way in which a call can end badly: its status, a word for programs, a sentence for people, when to come again.

Whatever is raised on the way of a call is translated here, once. It knows our tree of errors; not how a dialect words
them.
"""

from collections.abc import Mapping
from math import ceil

from crossrank.errors import (
    ArgumentTypeError,
    ClosedError,
    CrossrankError,
    DeadlineError,
    ModelError,
    OverloadError,
    QueryTooLongError,
    RemoteError,
    UsageError,
)
from crossrank.wire import Failure, UnknownFieldError, WireError
from crossrank.wire.failure import short

INVALID, KEY, FORBIDDEN, MODEL, TOO_LARGE = (
    "invalid_request",
    "invalid_api_key",
    "forbidden",
    "model_not_found",
    "too_large",
)
OVERLOADED, UNAVAILABLE, FAILED, LATE, QUOTA = (
    "overloaded",
    "unavailable",
    "internal_error",
    "timeout",
    "quota_exceeded",
)
# What TEI's clients tell errors by.
TEI_CODES: Mapping[str, str] = {
    OVERLOADED: "Overloaded",
    QUOTA: "Overloaded",
    UNAVAILABLE: "Unhealthy",
    LATE: "Backend",
    FAILED: "Backend",
}
PASSED_ON = {400: INVALID, 413: TOO_LARGE, 422: INVALID}  # a vendor's refusal that is the caller's to mend


class Refusal(CrossrankError):  # noqa: N818 - a decision, not a mistake of ours
    """The call is answered with an error.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message: a sentence for people, of bounded length.
        retry_after_s: whole seconds after which to come again.
        close: whether the connection is closed after the answer.
        allow: the methods that there are.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        close: bool = False,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = short(message)
        self.retry_after_s = None if retry_after_s is None else max(1, ceil(retry_after_s))
        self.close = close
        self.allow = allow

    @classmethod
    def too_large(cls, message: str) -> "Refusal":
        """The body, or what is in it, is more than is taken; what is left of it is not read."""
        return cls(413, TOO_LARGE, f"{message}. Send fewer or shorter documents.", close=True)

    @classmethod
    def too_slow(cls, message: str) -> "Refusal":
        """The request did not arrive in time."""
        return cls(408, INVALID, message, close=True)

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What goes with the answer."""
        found: list[tuple[bytes, bytes]] = []
        if self.retry_after_s is not None:
            found.append((b"retry-after", str(self.retry_after_s).encode()))
        if self.close:
            found.append((b"connection", b"close"))
        if self.allow is not None:
            found.append((b"allow", self.allow.encode()))
        if self.status == 401:
            found.append((b"www-authenticate", b"Bearer"))
        return tuple(found)

    def failure(self, request_id: str, dialect: str) -> Failure:
        """The failure as a dialect is given it."""
        code = TEI_CODES.get(self.code, "Validation") if dialect == "tei" else self.code
        return Failure(self.message, code, request_id)


def refusal_of(exc: BaseException, *, overload_status: int = 429) -> Refusal:
    """What is answered for an error; what nobody foresaw is told in general words only.

    Args:
        exc: whatever was raised.
        overload_status: of calls that are refused for load.
    """
    match exc:
        case Refusal():
            return exc
        case UnknownFieldError():
            return Refusal(422, INVALID, str(exc))
        case QueryTooLongError():
            return Refusal(400, INVALID, f"too many tokens: {exc}")
        case WireError() | UsageError() | ArgumentTypeError():
            return Refusal(400, INVALID, f"invalid request: {exc}")
        case OverloadError():
            return Refusal(overload_status, OVERLOADED, str(exc), retry_after_s=exc.retry_after_s)
        case DeadlineError() | TimeoutError():
            return Refusal(504, LATE, "the call took longer than it may; send fewer documents, or try again later")
        case RemoteError():
            return _remote(exc)
        case ModelError() | ClosedError() | MemoryError():
            return Refusal(503, UNAVAILABLE, "the model cannot answer now; try again later", retry_after_s=5)
    return Refusal(500, FAILED, "this failed through no fault of the call; the log has it under the request's id")


def _remote(exc: RemoteError) -> Refusal:
    """A vendor's failure: what its caller can mend is passed on, and our own key's trouble is ours."""
    status = getattr(exc, "status", None)
    if status in PASSED_ON:
        return Refusal(status, PASSED_ON[status], str(exc))
    if status == 429:
        return Refusal(429, OVERLOADED, str(exc), retry_after_s=getattr(exc, "retry_after_s", None) or 1)
    return Refusal(503, UNAVAILABLE, "the vendor behind this model cannot answer now", retry_after_s=5)
