"""From what `cache=` was given to a cache: the one place where its values are checked.

It knows how caches are written down; not what they do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from crossrank.engine.cache.contract import ScoreCache
from crossrank.engine.cache.guard import Guarded
from crossrank.engine.cache.memory import MemoryCache
from crossrank.errors import ArgumentTypeError, UsageError

ALLOWED = (
    "'memory', 'sqlite:///file', 'redis://host:port/database', an object with get_many and put_many (a ScoreCache), "
    "or None for no cache"
)
SECRET = re.compile(r"//.*@|\?.*")  # where a password may be in a URL, even one that was not escaped: not for messages


def open_cache(cache: Any) -> Guarded | None:
    """The cache that `cache=` names, or None for none.

    Raises:
        UsageError, ArgumentTypeError: it names none.
        MissingExtra: what it needs is not installed.
    """
    if cache is None:
        return None
    if isinstance(cache, str):
        return Guarded(_named(cache))
    if isinstance(cache, type) or not isinstance(cache, ScoreCache):
        what = f"the class {cache.__name__}" if isinstance(cache, type) else type(cache).__name__
        raise ArgumentTypeError(f"cache must be {ALLOWED}; not {what}")
    return Guarded(cache)


def _named(spec: str) -> ScoreCache:
    if spec == "memory":
        return MemoryCache()
    shown = SECRET.sub(lambda found: "//***@" if found[0].endswith("@") else "?...", spec)
    try:
        url = urlsplit(spec)
    except ValueError as exc:
        raise UsageError(f"cache={shown!r} is no URL ({exc}); allowed: {ALLOWED}") from None
    match url.scheme:
        case "sqlite":
            return _sqlite(url, shown)
        case "redis" | "rediss":
            return _redis(url, shown)
        case _:
            raise UsageError(f"cache={shown!r} is not known; allowed: {ALLOWED}")


def _redis(url: SplitResult, shown: str) -> ScoreCache:
    from crossrank.engine.cache.redis import RedisCache

    options = _options(url, shown, {"ttl": _whole, "timeout_s": _seconds})
    plain = url._replace(query="", fragment="").geturl()
    return RedisCache(plain, ttl_s=options.pop("ttl", None), **options)


def _sqlite(url: SplitResult, shown: str) -> ScoreCache:
    from crossrank.engine.cache.sqlite import SqliteCache  # few programs need SQLite

    file = unquote(url.path[1:])
    if url.netloc or not url.path.startswith("/") or not file or url.fragment:
        raise UsageError(
            f"cache={shown!r} names no file; three slashes are followed by a path: "
            "'sqlite:///scores.db' here, 'sqlite:////var/scores.db' from the root"
        )
    if file == ":memory:":
        raise UsageError(f"cache={shown!r} would be forgotten with the process; that is cache='memory'")
    return SqliteCache(file, **_options(url, shown, {"bytes_max": _whole}))


def _options(url: SplitResult, shown: str, known: Mapping[str, Callable[[str], float]]) -> dict[str, Any]:
    """What stands after the question mark."""
    options: dict[str, Any] = {}
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if name not in known:
            raise UsageError(f"cache={shown!r}: {name!r} is no option of {url.scheme}; allowed: {', '.join(known)}")
        try:
            options[name] = known[name](value)
        except ValueError as exc:
            raise UsageError(f"cache={shown!r}: {name} must be {exc}, not {value!r}") from None
    return options


def _whole(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", value):
        raise ValueError("a whole number of at least 1")
    return int(value)


def _seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value) or not float(value):
        raise ValueError("a number of seconds above 0")
    return float(value)
