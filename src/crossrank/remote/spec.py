"""What a caller means by "cohere:MODEL", "tei:" or "http://host:port": who is asked, where, and with which key.

It knows names and addresses; nothing is sent.
"""

import os
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.remote.costs import Price, price_of
from crossrank.remote.keys import Key, find_key
from crossrank.remote.names import URL
from crossrank.remote.vendors import VENDORS, Vendor
from crossrank.wire import DIALECTS, Dialect


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """Who is asked, where, and how: what scores depend on, as far as it is known here.

    Attributes:
        vendor: the name before the colon of a spec; "server" for a URL.
        model: the vendor's name of it; None where the server has one only.
        base_url: the address.
        dialect: how it is spoken to; None where the server is asked first.
    """

    vendor: str
    model: str | None
    base_url: str
    dialect: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: everything that is decided before the first call."""

    vendor: Vendor
    model: str | None
    base_url: str
    key: Key | None

    def endpoint(self, dialect: Dialect) -> str:
        """The URL of a call in a dialect: a base that already ends in some of the path is not given it twice."""
        path = (self.vendor.path or dialect.path).replace("{model}", quote((self.model or "").replace(".", "_")))
        base = self.base_url.rstrip("/")
        for start in range(len(path)):  # the longest overlap first: the whole path, then "/v1" of "/v1/rerank"
            overlap = path[: len(path) - start]
            if base.endswith(overlap) and (start == 0 or path[len(overlap)] == "/"):
                return base + path[len(overlap) :]
        return base + path

    @property
    def hosted(self) -> bool:
        """Whether it is the vendor itself, whose prices are known, and not its dialect at another address."""
        return self.base_url in (self.vendor.base_url, *self.vendor.urls_by_key.values())

    @property
    def price(self) -> Price | None:
        """What the table says of the vendor's own prices."""
        return price_of(self.vendor.name, self.model) if self.hosted else None

    @property
    def facts(self) -> RemoteFacts:
        """What of it a caller may see: all but the key."""
        dialect = self.vendor.dialect
        return RemoteFacts(self.vendor.name, self.model, self.base_url, dialect.name if dialect else None)

    @property
    def key_remedy(self) -> str:
        """What to do about a key that is missing or wrong."""
        if self.vendor.key_variables:
            return f"Set {self.vendor.key_variables[0]} to a valid key, or give api_key=."
        return "Give a valid key as api_key=, or name the kind of server ('vllm:MODEL') and set its variables."


def target_of(spec: str, *, api_key: str | None, base_url: str | None, dialect: str | None) -> Target:
    """The target of a spec, with the key from `api_key` or the vendor's environment variable."""
    for name, value in (("model", spec), ("base_url", base_url), ("dialect", dialect)):
        if not isinstance(value, str) and (value is not None or name == "model"):
            raise ArgumentTypeError(f"{name} must be a str, not {type(value).__name__}")
    if dialect is not None and dialect not in DIALECTS:
        raise UsageError(f"dialect {dialect!r} is not known; the dialects are: {', '.join(DIALECTS)}")
    if URL.match(spec):
        return _server(spec, api_key=api_key, base_url=base_url, dialect=dialect)
    name, _, model = spec.partition(":")
    if name not in VENDORS:
        raise UsageError(
            f"{spec!r} names no vendor that is known; give one of {', '.join(VENDORS)} as in 'cohere:rerank-v4.0-pro', "
            "or a server as 'http://host:port'"
        )
    vendor = VENDORS[name] if dialect is None else replace(VENDORS[name], dialect=DIALECTS[dialect], path=None)
    if not model and vendor.dialect is not None and vendor.dialect.model_required:
        raise UsageError(f"{spec!r} names no model; write '{name}:MODEL' with the vendor's own name of it")
    key = find_key(api_key, vendor.key_variables)
    if key is None and vendor.key_required and base_url is None:
        raise UsageError(f"{vendor.title} needs a key. Set {vendor.key_variables[0]}, or give api_key=.")
    address = base_url or (vendor.url_variable and os.environ.get(vendor.url_variable)) or _own_url(vendor, key)
    if not address:
        variable = f"set {vendor.url_variable}=http://host:port, or " if vendor.url_variable else ""
        raise UsageError(f"{vendor.title} has no address of its own; {variable}give base_url='http://host:port'")
    given, _ = _checked_url(address)
    target = Target(vendor, model or None, given, key)
    # Its dialect at another address is a gateway or a server of one's own, where the dialect's own path holds.
    return target if target.hosted or vendor.dialect is None else replace(target, vendor=replace(vendor, path=None))


def _server(spec: str, *, api_key: str | None, base_url: str | None, dialect: str | None) -> Target:
    if base_url is not None:
        raise UsageError("base_url was given beside a model that is a URL itself; give one of them")
    address, parts = _checked_url(spec)
    title = f"the server at {parts.netloc}"
    if dialect is None:
        dialect = next((known.name for known in DIALECTS.values() if _unmistakable(parts.path, known)), None)
    if dialect is None:
        return Target(Vendor(name="server", title=title, dialect=None), None, address, find_key(api_key, ()))
    like = VENDORS.get(dialect)
    spoken = DIALECTS[dialect]
    if spoken.model_required:
        variable = f", or set {like.url_variable} to it" if like and like.url_variable else ""
        raise UsageError(
            f"{dialect} calls name a model: write '{dialect}:MODEL' and give base_url={address!r}{variable}"
        )
    vendor = replace(like, title=title, path=None) if like else Vendor(name="server", title=title, dialect=spoken)
    return Target(vendor, None, address, find_key(api_key, ()))


def _unmistakable(path: str, dialect: Dialect) -> bool:
    """Whether a URL's path belongs to one dialect only; /rerank and /v1/rerank do not."""
    return dialect.path not in ("/rerank", "/v1/rerank") and path.rstrip("/").endswith(dialect.path)


def _own_url(vendor: Vendor, key: Key | None) -> str | None:
    for beginning, url in vendor.urls_by_key.items():
        if key is not None and key.reveal().startswith(beginning):
            return url
    return vendor.base_url


def _checked_url(url: str) -> tuple[str, SplitResult]:
    """The URL without a trailing slash, and its parts."""
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise UsageError("the URL of a server must look like 'http://host:port' or 'https://host/path'")
    if not url.strip().isprintable() or any(map(str.isspace, url.strip())):
        raise UsageError("the URL of a server holds white space or control characters")
    if parts.username or parts.password:
        raise UsageError("the URL holds a user or password; give the key as api_key=, where no log shows it")
    if parts.query or parts.fragment:
        raise UsageError("the URL of a server must have no '?' or '#' in it; options have arguments of their own")
    clean = parts._replace(path=parts.path.rstrip("/"))
    return urlunsplit(clean), clean
