"""The socket that a server listens on; one that others could reach is not opened without a key.

It knows addresses and whether there are keys; not what is served.
"""

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from crossrank.errors import UsageError
from crossrank.server.keys import VARIABLE, read_keys
from crossrank.server.settings import Settings

BACKLOG = 2_048


def listen(settings: Settings, environ: Mapping[str, str]) -> socket.socket:
    """The socket to listen on.

    Raises:
        UsageError: it would be open to others without a key, or the address cannot be had.
    """
    check_open(settings, environ)
    _check_certificate(settings)
    try:
        return _bound(settings)
    except OSError as exc:
        where = settings.uds or f"{settings.host}:{settings.port}"
        other = "--uds" if settings.uds else "--host or --port (0 takes a free one)"
        raise UsageError(f"{where} cannot be listened on: {exc.strerror or exc}. Give another {other}.") from None


def check_open(settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuse a server that others could reach without a key.

    Raises:
        UsageError: it would be one, or the keys cannot be read.
    """
    keys = read_keys(environ, settings.api_key_file)
    if settings.uds is None and not (keys.keys or settings.no_auth or _is_loopback(settings.host)):
        raise UsageError(
            f"--host {settings.host} can be reached by others, and no key is set. Set {VARIABLE} or --api-key-file; "
            "or --no-auth, if whoever gets there may call."
        )


def _check_certificate(settings: Settings) -> None:
    """Read the certificate now: uvicorn would fail over it after everything else has begun."""
    if settings.ssl_certfile is None:
        if settings.ssl_keyfile is not None:
            raise UsageError("--ssl-keyfile is the key of a certificate; give --ssl-certfile, too")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except OSError as exc:  # of which ssl.SSLError is one
        raise UsageError(f"the certificate {settings.ssl_certfile} cannot be used: {exc.strerror or exc}") from None


def _bound(settings: Settings) -> socket.socket:
    if settings.uds is not None:
        path = Path(settings.uds)
        if path.is_socket():
            path.unlink()  # of a server that was killed
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(settings.uds)
        path.chmod(path.stat().st_mode & 0o770)  # before anybody is listened to: never for all, whatever the umask
    else:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # NOTE: with the protocol said, or asyncio would leave Nagle's algorithm on, and an answer take 40 ms.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(bound: socket.socket, settings: Settings) -> str:
    """The URL, or the path, that a listening socket is reached at."""
    if settings.uds is not None:
        return settings.uds
    host, port = bound.getsockname()[:2]
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
