"""Sends bodies and gives back answers: one pool, a bound on every wait, retries, the breaker.

Alone to know httpx2. It knows statuses and headers; not queries, documents or rankings. It lives in one event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crossrank import __version__
from crossrank.errors import DeadlineError, MissingExtra, UsageError
from crossrank.remote.breaker import Breaker
from crossrank.remote.failures import KEY_STATUSES, VendorError, hopeless, redirected, refused, unreachable
from crossrank.remote.reading import BodyError, read_bounded
from crossrank.remote.retry import RETRIED, Retry, asked_s
from crossrank.remote.spec import Target
from crossrank.wire import Failure
from crossrank.wire.failure import parse_error

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 10.0
ANSWER_BYTES = 4 * 1024 * 1024  # of an answer, beside eight times the call: some repeat the documents, escaped
ERROR_BYTES = 64 * 1024
REQUEST_IDS = ("x-request-id", "x-api-request-id", "request-id", "x-trace-id")
log = logging.getLogger(__name__)


class Client:
    """The connections to one target. Made, used and closed in one event loop.

    Args:
        target: who is asked.
        timeout_s: the longest that one try takes.
        retry: when to try again.
        concurrency: calls that are under way at a time; more wait.
    """

    def __init__(self, target: Target, *, timeout_s: float, retry: Retry, concurrency: int) -> None:
        self._target = target
        self._title = target.vendor.title
        self._timeout_s = timeout_s
        self._retry = retry
        self._free = asyncio.Semaphore(concurrency)
        self._breaker = Breaker()
        self._http = _open_http(target, timeout_s, concurrency)

    async def post(
        self, url: str, body: bytes, deadline: float | None, *, again: Callable[[], None] = lambda: None
    ) -> bytes:
        """The answer to a call, after retries, each told to `again`; `deadline` is a time.monotonic().

        Raises:
            VendorError: there is none that is a success.
            DeadlineError: the deadline passed while waiting for it.
        """
        try:
            async with _until(deadline), self._free:
                return await self._tried(url, body, deadline, again)
        except TimeoutError:
            raise self._late() from None

    async def get(self, url: str) -> bytes | None:
        """A small document that a server may have; None where it has none.

        Raises:
            VendorError: it cannot be reached, or wants another key.
        """
        try:
            return await self._tried(url, None, None)
        except VendorError as exc:
            if exc.status is None or exc.status in KEY_STATUSES:
                raise
            return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _tried(
        self, url: str, body: bytes | None, deadline: float | None, again: Callable[[], None] = lambda: None
    ) -> bytes:
        """One try after the other, until there is an answer, or no more sense in it."""
        tried = 0
        while True:
            tried += 1
            if tried == 1 and (blocked := self._breaker.blocked_s()) > 0:
                raise VendorError.of(
                    self._title,
                    f"{self._title} failed many times in a row; nothing is sent to it for another {blocked:.0f} s. "
                    "fallback= names a ranker that answers meanwhile.",
                    retry_after_s=blocked,
                )
            answer = await self._try(url, body, tried)
            if isinstance(answer, bytes):
                return answer
            error, hopeful = answer
            wait = self._retry.wait_s(tried, error.retry_after_s) if hopeful else None
            if wait is None or (deadline is not None and time.monotonic() + wait >= deadline):
                raise error
            log.info("%s: try %d failed (status %s), again in %.2f s", self._title, tried, error.status, wait)
            await asyncio.sleep(wait)
            again()

    async def _try(self, url: str, body: bytes | None, tried: int) -> bytes | tuple[VendorError, bool]:
        """The body of a success, or an error and whether trying again makes sense."""
        import httpx2

        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(url, body, tried)
        except TimeoutError:
            self._breaker.failed()
            message = f"{self._title} did not answer within {self._timeout_s:g} s (tries: {tried}). Raise timeout_s=."
            return VendorError.of(self._title, message), True
        except (httpx2.TransportError, OSError) as exc:
            self._breaker.failed()
            return self._unreachable(exc, tried), not hopeless(exc)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            return self._unreachable(exc, tried), False

    async def _exchange(self, url: str, body: bytes | None, tried: int) -> bytes | tuple[VendorError, bool]:
        async with self._http.stream("GET" if body is None else "POST", url, content=body) as response:
            status, headers = response.status_code, response.headers
            if status >= 500:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
            if 300 <= status < 400:
                return redirected(self._title, status, _host_of(headers.get("location", ""))), False
            bytes_max = ERROR_BYTES if status >= 400 else ANSWER_BYTES + 8 * len(body or b"")
            try:
                read = await read_bounded(response.aiter_raw(), headers.get("content-encoding", ""), bytes_max)
            except BodyError as exc:
                if status < 400:
                    return self._nonsense(f"the body {exc}", status, headers), False
                read = b""
            if status < 300:
                return read
            return self._refused(status, headers, read, tried), status in RETRIED

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes, tried: int) -> VendorError:
        said = (self._target.vendor.dialect.parse_error if self._target.vendor.dialect else parse_error)(body)
        failure = Failure(said.message, said.code, said.id or _request_id(headers))
        if (key := self._target.key) is not None:  # some servers repeat it
            code, identity = failure.code and key.hide(failure.code), failure.id and key.hide(failure.id)
            failure = Failure(key.hide(failure.message), code, identity)
        return refused(
            self._title,
            status,
            failure,
            key_remedy=self._target.key_remedy,
            tries=tried,
            retry_after_s=asked_s(headers, time.time()) if status in RETRIED else None,
        )

    def _nonsense(self, what: str, status: int, headers: Mapping[str, str]) -> VendorError:
        message = f"{self._title} answered {status}, but {what}. Check base_url= and dialect=."
        return VendorError.of(self._title, message, status=status, request_id=_request_id(headers))

    def _unreachable(self, exc: BaseException, tried: int) -> VendorError:
        return unreachable(self._title, _host_of(self._target.base_url), exc, tries=tried)

    def _late(self) -> DeadlineError:
        return DeadlineError(f"deadline_s passed before {self._title} answered. Give more time, or a fallback=.")


def _open_http(target: Target, timeout_s: float, concurrency: int) -> "httpx2.AsyncClient":
    try:
        import httpx2
    except ImportError as exc:
        raise MissingExtra("Remote rerankers need httpx2. Run: pip install 'crossrank[remote]'") from exc
    headers = {
        "User-Agent": f"crossrank/{__version__}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # answers are small; whoever packs them all the same is unpacked with a bound
        **target.vendor.headers,
    }
    if target.key is not None:
        name, before = target.vendor.key_header
        headers[name] = before + target.key.reveal()
    http2 = find_spec("h2") is not None and target.base_url.startswith("https:")
    if http2:
        # NOTE: at DEBUG, hpack logs every header it writes, and with them the key.
        logging.getLogger("hpack").setLevel(logging.INFO)
    try:
        return httpx2.AsyncClient(
            headers=headers,
            # Each try as a whole has its bound in _try(); this one is for hosts that swallow packets.
            timeout=httpx2.Timeout(None, connect=min(CONNECT_S, timeout_s)),
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            follow_redirects=False,  # the key and the documents go nowhere else
            http2=http2,
        )
    except ImportError as exc:  # of SOCKS proxies
        raise MissingExtra(f"A proxy in the environment needs more than httpx2: {exc}") from exc
    except (ValueError, OSError) as exc:
        raise UsageError(
            f"no client can be opened ({exc}); check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
        ) from exc


def _until(deadline: float | None) -> Any:
    return asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _request_id(headers: Mapping[str, str]) -> str | None:
    found = next((headers[name] for name in REQUEST_IDS if name in headers), None)
    return found[:100] if found and found.isprintable() else None


def _host_of(url: str) -> str:
    """Scheme and host of a URL, which is all of it that a message shows."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200]
    return repr(url[:100])
