"""What a server can be told, as one table: a flag, else an environment variable, else a line of TOML, else a default.

Every setting is one field below; the flags of `crossrank serve`, its help and the table in docs/server.md are made of
these. It knows names, types and ranges; not what a setting does.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from crossrank.errors import UsageError

PREFIX = "CROSSRANK_"  # of environment variables
MB = 1_000_000
Kind = Literal["text", "count", "copies", "seconds", "flag", "list"]
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def _setting(
    group: str,
    kind: Kind,
    default: Any,
    meaning: str,
    *,
    least: float = 0,
    most: float = math.inf,
    choices: tuple[Any, ...] = (),
) -> Any:
    known = {"group": group, "kind": kind, "meaning": meaning, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server, checked one by one; what they mean stands beside each."""

    model: tuple[str, ...] = _setting(
        "Models",
        "list",
        (),
        "A model to serve: a folder, a name of the hub, vendor:MODEL or a URL; NAME=MODEL gives it another name. "
        "Several may be given; the first answers calls that name none. By default the bundled one.",
    )
    strict_models: bool = _setting(
        "Models", "flag", False, "Refuse calls that name a model which is not served, where one model would take all."
    )
    lazy: bool = _setting("Models", "flag", False, "Open the first model at its first call instead of at the start.")
    memory_max_mb: int | None = _setting(
        "Models",
        "count",
        None,
        "Megabytes of the process above which models that are not in use are closed, least recently used first.",
        least=1,
    )
    device: str = _setting("Models", "text", "auto", "auto, cpu, cuda, cuda:N or mps.")
    devices: tuple[str, ...] = _setting(
        "Models", "list", (), "GPUs among which a model's work is shared, such as cuda:0,cuda:1."
    )
    replicas: int | Literal["auto"] = _setting(
        "Models",
        "copies",
        1,
        "Copies of a model that share its work, each on a GPU or on cores of its own; auto is one a GPU, or one a NUMA "
        "domain. Each worker has so many.",
        least=1,
    )
    backend: str = _setting("Models", "text", "auto", "auto, native, torch or onnx.")
    precision: str = _setting("Models", "text", "auto", "auto, fp32, bf16, fp16 or int8.")
    threads: int | None = _setting(
        "Models", "count", None, "CPU threads of each worker; else all usable cores.", least=1
    )
    max_length: int | None = _setting("Models", "count", None, "Tokens of query and document together.", least=8)
    long_documents: str = _setting(
        "Models",
        "text",
        "chunk",
        "Of a document that does not fit: its best window counts (chunk), or its end is cut (truncate).",
        choices=("chunk", "truncate"),
    )
    score_cache: bool = _setting(
        "Models", "flag", True, "Keep scores in memory, so that a repeated pair costs nothing."
    )

    host: str = _setting("Listening", "text", "127.0.0.1", "Address to listen on. Beyond loopback a key is needed.")
    port: int = _setting("Listening", "count", 8000, "Port to listen on; 0 takes a free one.", most=65_535)
    uds: str | None = _setting("Listening", "text", None, "Path of a Unix socket to listen on instead.")
    workers: int = _setting(
        "Listening", "count", 1, "Processes that share the port and the packed model file.", least=1
    )
    root_path: str = _setting("Listening", "text", "", "Prefix that a proxy in front strips from paths.")
    cors_origins: tuple[str, ...] = _setting(
        "Listening", "list", (), "Origins whose web pages may call, such as https://example.org; none by default."
    )
    ssl_certfile: str | None = _setting("Listening", "text", None, "Certificate, for TLS.")
    ssl_keyfile: str | None = _setting("Listening", "text", None, "The certificate's key.")
    playground: bool = _setting(
        "Listening", "flag", True, "Show the playground at /; without it, / is the list of paths, as /docs."
    )
    keep_alive_s: float = _setting(
        "Listening", "seconds", 75.0, "Seconds that an idle connection stays open; above the proxy's in front.", least=1
    )
    connections_max: int = _setting("Listening", "count", 2_048, "Connections at a time, of each worker.", least=1)

    api_key_file: str | None = _setting(
        "Keys",
        "text",
        None,
        "File of keys, a line each: KEY or sha256:HEX, then name=, documents_per_minute=, models=.",
    )
    no_auth: bool = _setting("Keys", "flag", False, "Listen beyond loopback without keys. Whoever gets there may call.")
    documents_per_minute: int | None = _setting(
        "Keys", "count", None, "Documents that one key may send a minute, where its line does not say.", least=1
    )

    body_mb_max: int = _setting("Limits", "count", 32, "Megabytes of one call.", least=1)
    bodies_mb_max: int = _setting(
        "Limits", "count", 512, "Megabytes of all calls that are being read or answered.", least=1
    )
    documents_max: int = _setting("Limits", "count", 10_000, "Documents of one call.", least=1)
    tokens_max: int = _setting(
        "Limits",
        "count",
        20_000_000,
        "Tokens of one call, estimated at four characters each: the query once a document, and the documents.",
        least=1,
    )
    calls_max: int = _setting("Limits", "count", 512, "Calls at a time, of each worker; more are refused.", least=1)
    queue_s: float = _setting(
        "Limits",
        "seconds",
        10.0,
        "Seconds a call may have to wait by estimate; above, it is refused at once.",
        least=0.01,
    )
    timeout_s: float = _setting("Limits", "seconds", 60.0, "Seconds after which a call ends with 504.", least=0.01)
    read_s: float = _setting("Limits", "seconds", 30.0, "Seconds in which a request must have arrived.", least=0.01)
    overload_status: int = _setting(
        "Limits", "count", 429, "Status of calls that are refused for load: 429, or 503.", choices=(429, 503)
    )
    strict_fields: bool = _setting(
        "Limits", "flag", False, "Refuse fields that Cohere does not have on its paths, with 422 as Cohere does."
    )

    shutdown_s: float = _setting(
        "Ending and logs", "seconds", 30.0, "Seconds that calls in progress get after SIGTERM."
    )
    log_level: str = _setting(
        "Ending and logs", "text", "info", "Least level that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_calls: bool = _setting("Ending and logs", "flag", True, "One line of JSON for each call. Texts are in none.")
    otel: bool = _setting("Ending and logs", "flag", False, "Spans of OpenTelemetry; its own variables say where to.")

    @property
    def engine(self) -> dict[str, Any]:
        """What a model is opened with, as far as it differs from the defaults."""
        names = ("device", "devices", "replicas", "backend", "precision", "threads", "max_length", "long_documents")
        defaults = Settings()
        given = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(defaults, name)}
        return given if self.score_cache else {**given, "cache": None}


def table() -> tuple["Field[Any]", ...]:
    """All settings, in the order of their groups."""
    return fields(Settings)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def read_settings(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | Path | None = None) -> Settings:
    """The settings: of each the flag counts, else the variable, else the file's line, else the default.

    Raises:
        UsageError: a value that cannot be taken, a name that there is not, a file that cannot be read; it says where.
    """
    known = {item.name: item for item in table()}
    told: dict[str, Any] = {}
    for source, name, value in _said(flags, environ, file, known):
        told[name] = _checked(known[name], value, source)
    return Settings(**told)


def settings_of(lines: Mapping[str, Any], source: str) -> Settings:
    """The settings of lines that are read already, such as a part of another program's file; no variable counts.

    Raises:
        UsageError: a value that cannot be taken, a name that there is not; it says `source`, and which.
    """
    known = {item.name: item for item in table()}
    return Settings(
        **{name: _checked(known[name], value, where) for where, name, value in _named(lines, source, known)}
    )


def _said(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: str | Path | None, known: Mapping[str, "Field[Any]"]
) -> Iterator[tuple[str, str, Any]]:
    """Where a value is from, of which setting it is, and the value; what counts more comes later."""
    if file is not None:
        yield from _named(_parsed(file), str(file), known)
    for name in known:
        if variable(name) in environ:
            yield variable(name), name, environ[variable(name)]
    for name, value in flags.items():
        yield flag(name), name, value


def _named(lines: Mapping[str, Any], source: str, known: Mapping[str, "Field[Any]"]) -> Iterator[tuple[str, str, Any]]:
    """Where each line's value is from, of which setting it is, and the value."""
    for name, value in lines.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise UsageError(f"{source}: no setting {name!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        yield f"{source}: {name}", name, value


def _parsed(file: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"the settings in {file} cannot be read: {getattr(exc, 'strerror', None) or exc}") from None


def _checked(item: "Field[Any]", value: Any, source: str) -> Any:
    """The value in the setting's type."""
    kind, choices, least, most = (item.metadata[name] for name in ("kind", "choices", "least", "most"))
    readers = {"text": _text, "count": _count, "copies": _copies, "seconds": _seconds, "flag": _flag, "list": _list}
    read = readers[kind](value)
    if read is None:
        wanted = {"count": "a whole number", "seconds": "a number", "flag": "true or false", "list": "a list of texts"}
        wanted["copies"] = "a whole number, or auto,"
        raise UsageError(f"{source} is {value!r}, where {wanted.get(kind, 'a text')} is meant")
    if choices and read not in choices:
        raise UsageError(f"{source} is {value!r}; it can be {', '.join(map(str, choices))}")
    if kind in ("count", "copies", "seconds") and read != "auto" and read < least:
        raise UsageError(f"{source} is {value!r}; it must be at least {least:g}")
    if kind == "count" and read > most:
        raise UsageError(f"{source} is {value!r}; it must be at most {most:,}")
    return read


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    try:
        return int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        return None


def _copies(value: Any) -> int | Literal["auto"] | None:
    return "auto" if value == "auto" else _count(value)


def _seconds(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else float("nan")
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    said = value.strip().lower() if isinstance(value, str) else None
    return True if said in YES else False if said in NO else None


def _list(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(value)
    return None
