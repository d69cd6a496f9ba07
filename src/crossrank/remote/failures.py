"""What goes wrong between us and a vendor, as errors that name vendor, status, request id and what to do.

It knows statuses and words; it never sees a key, and cuts out one that a server repeats.
"""

import socket
import ssl
from collections.abc import Iterator

from crossrank.errors import RemoteError
from crossrank.wire import Failure

KEY_STATUSES = (401, 403, 498)


class VendorError(RemoteError):
    """A vendor or server refused, failed, or answered what cannot be a ranking.

    Attributes:
        vendor: who.
        status: the HTTP status, if there was an answer.
        request_id: the call's name in the vendor's logs.
        retry_after_s: seconds after which it may go better, if the server said so.
    """

    vendor: str = ""
    status: int | None = None
    request_id: str | None = None
    retry_after_s: float | None = None

    @classmethod
    def of(
        cls,
        vendor: str,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> "VendorError":
        """The error, with what is known of it."""
        error = cls(message)
        error.vendor, error.status, error.request_id, error.retry_after_s = vendor, status, request_id, retry_after_s
        return error


class BudgetError(RemoteError):
    """The reranker has spent what it may; nothing more is sent."""


def refused(
    vendor: str,
    status: int,
    failure: Failure,
    *,
    key_remedy: str,
    tries: int = 1,
    retry_after_s: float | None = None,
) -> VendorError:
    """The error of an answer that is no success."""
    said = failure.message or "(nothing more was said)"
    code = f" [{failure.code}]" if failure.code and failure.code not in (said, str(status)) else ""
    request = f" (request id {failure.id})" if failure.id else ""
    after = f" after {tries} tries" if tries > 1 else ""
    wait = f" It asks to wait {retry_after_s:.0f} s." if retry_after_s is not None else ""
    message = (
        f"{vendor} answered {status}{after}: {said.rstrip('.')}{code}{request}.{wait} {_remedy(status, key_remedy)}"
    )
    return VendorError.of(vendor, message, status=status, request_id=failure.id, retry_after_s=retry_after_s)


def _remedy(status: int, key_remedy: str) -> str:
    if status in KEY_STATUSES:
        return key_remedy
    return {
        402: "The account's balance does not suffice; see the vendor's billing page.",
        404: "Check the model's name and base_url=.",
        405: "Check base_url=: what is there takes no rerank calls.",
        413: "Give fewer or shorter documents, or limits=Limits(...) that fit the server.",
        422: "Check the model's name and the documents; the call is refused as it stands.",
        424: "The server's model failed; see the server's log.",
        429: "Lower concurrency=, raise retry=, or ask the vendor for a higher limit.",
    }.get(
        status,
        "Check the model's name and the documents; the call is refused as it stands."
        if status < 500
        else "Try again later; fallback= names a ranker that answers meanwhile.",
    )


def redirected(vendor: str, status: int, target: str) -> VendorError:
    """The error of an answer that sends us elsewhere: the key and the documents do not go where nobody sent them."""
    message = (
        f"{vendor} answered {status}, a redirect to {target}, which is not followed. Give base_url= if it is right."
    )
    return VendorError.of(vendor, message, status=status)


def unreachable(vendor: str, address: str, exc: BaseException, *, tries: int) -> VendorError:
    """The error of a connection that could not be made, or broke."""
    after = f" after {tries} tries" if tries > 1 else ""
    reason = str(exc) or type(exc).__name__
    for cause in causes(exc):
        if isinstance(cause, socket.gaierror):
            return VendorError.of(vendor, f"{vendor}: the host of {address} does not resolve. Check base_url= and DNS.")
        if isinstance(cause, ssl.SSLError):
            return VendorError.of(
                vendor,
                f"{vendor}: TLS with {address} fails ({cause.reason or cause}). Check base_url=; for a certificate "
                "of your own authority set SSL_CERT_FILE.",
            )
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
    return VendorError.of(
        vendor, f"{vendor} cannot be reached at {address}{after}: {reason}. Check base_url= and that the server runs."
    )


def hopeless(exc: BaseException) -> bool:
    """Whether trying again would end in the same way: a name that does not exist, a certificate that is not trusted."""
    return any(
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN)
        for cause in causes(exc)
    )


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it comes from."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__
