"""The playground: a page that shows what reranking does and why. Its files are served as they are; no build step.

It asks the server what any client can ask, and knows no more than they do.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

JSON_LINES = b"application/x-ndjson; charset=utf-8"
SCRIPTS = ("script", "form", "documents", "ranking", "explaining", "code", "page", "server")  # the first loads the rest
FILES: Mapping[str, tuple[str, bytes]] = {  # by path: the file, and what it is
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/playground/style.css": ("style.css", b"text/css; charset=utf-8"),
    **{f"/playground/{name}.js": (f"{name}.js", b"text/javascript; charset=utf-8") for name in SCRIPTS},
    "/playground/amendments.jsonl": ("amendments.jsonl", JSON_LINES),
}
# Nothing inline, nothing from elsewhere, no text that becomes markup: not even by a mistake of the script's.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
)


@cache
def content(path: str) -> bytes:
    """The bytes of a path's file."""
    return files(__name__).joinpath(FILES[path][0]).read_bytes()
