"""Errors as vendors write them. Reading is one function for all: a gateway between may answer in any shape, or in HTML.

It knows shapes of error bodies; not what a status means or what is to be done.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from crossrank.wire.body import dump
from crossrank.wire.contract import Failure

MESSAGE_MAX = 500  # characters: a server may repeat a whole request
TAG = re.compile(r"<(?:(?:script|style)[^>]*>.*?</(?:script|style)>|[^>]*>)", re.DOTALL | re.IGNORECASE)


def parse_error(body: bytes) -> Failure:
    """What a body says went wrong: whatever it is, the answer is a Failure."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        text = TAG.sub(" ", body[: 20 * MESSAGE_MAX].decode("utf-8", "replace"))
        return Failure(short(text))
    if not isinstance(said, Mapping):
        return Failure(short(_text(said)))
    inner = said.get("error")
    detail = inner if isinstance(inner, Mapping) else said
    message = _first(detail, "message", "detail", "error", "errors", "title") or _first(said, "message", "detail")
    code = _first(detail, "code", "error_type", "type") or _first(said, "code", "error_type")
    identity = _first(said, "request_id", "id", "requestId")
    return Failure(short(message or _text(said)), code, identity)


def dump_message(failure: Failure) -> bytes:
    """Cohere's: `message` and `id`."""
    return dump(_without_none({"message": failure.message, "id": failure.id}))


def dump_detail(failure: Failure) -> bytes:
    """Voyage's, FastAPI's: a `detail` that is a string, for the Voyage SDK fails over a list."""
    return dump({"detail": failure.message})


def dump_detail_code(failure: Failure) -> bytes:
    """Jina's: `detail`, `code` and `request_id`."""
    return dump(_without_none({"detail": failure.message, "code": failure.code, "request_id": failure.id}))


def dump_nested(failure: Failure) -> bytes:
    """OpenAI's, and with it vLLM's and most others': an `error` object, all of whose keys are there."""
    inner = {"message": failure.message, "type": failure.code, "param": None, "code": failure.code}
    return dump({"error": inner})


def dump_every(failure: Failure) -> bytes:
    """What every vendor's client finds its message in, but TEI's, whose `error` is a string."""
    known = {"message": failure.message, "detail": failure.message, "code": failure.code}
    inner = {"message": failure.message, "type": failure.code, "param": None, "code": failure.code}
    return dump({**_without_none({**known, "id": failure.id, "request_id": failure.id}), "error": inner})


def _first(said: Mapping[Any, Any], *keys: str) -> str | None:
    for key in keys:
        if said.get(key) not in (None, "", [], {}):
            return _text(said[key])
    return None


def _text(value: Any) -> str:
    """Text as it is; of FastAPI's list of mistakes each place and message."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("msg") or value.get("message"), str):
        place = ".".join(map(str, value["loc"])) + ": " if isinstance(value.get("loc"), list) else ""
        return place + str(value.get("msg") or value["message"])
    if isinstance(value, list) and value:
        return "; ".join(map(_text, value[:3]))
    return msgspec.json.encode(value).decode()


def short(text: str) -> str:
    """The text on one line, bounded, without what moves a terminal's cursor."""
    text = text.strip() if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1].strip() + "…"
    return "".join(c if c.isprintable() else " " for c in text)


def _without_none(value: dict[str, str | None]) -> dict[str, str]:
    return {key: item for key, item in value.items() if item is not None}
