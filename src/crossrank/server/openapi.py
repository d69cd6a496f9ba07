"""The description of the API for programs, and the same as a page for people, without anything from elsewhere.

Both are made of the table of routes and of the very types that bodies are read as.
"""

from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

import msgspec

from crossrank import __version__
from crossrank.server.routes import ROUTES, Route
from crossrank.wire.own import EXPLANATION

PAGES: Mapping[str, str] = {
    "/": "The playground; without it, as /docs.",
    "/health": "Alive.",
    "/ready": "Ready to answer: the first model is open, and the server is not stopping.",
    "/ping": "As /ready, for SageMaker.",
    "/info": "What is served, in the words of TEI.",
    "/v1/models": "What is served, in the words of OpenAI.",
    "/metrics": "Metrics for Prometheus.",
    "/openapi.json": "This description.",
    "/docs": "This description, to be read.",
}
GUARDED = frozenset({"/info", "/v1/models"})  # pages that need a key where keys are set
REFUSALS = {
    "400": "A value that cannot be taken, or no JSON.",
    "401": "No key, or none that is known.",
    "403": "A model that the key may not ask.",
    "404": "A model that is not served.",
    "408": "The request did not arrive in time.",
    "413": "Too large, or too many documents.",
    "415": "The content-type is not JSON.",
    "422": "A field that Cohere does not know, where the server is strict.",
    "429": "Too much for now; Retry-After says when to come again.",
    "503": "Starting, stopping, or too much; Retry-After says when to come again.",
    "504": "It took too long.",
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4;border-radius:4px;padding:.1em .3em}"
    "pre{padding:.8em;overflow:auto}summary{cursor:pointer;padding:.3em 0}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}code,pre{background:#262626}a{color:#8bf}}"
)
POLICY = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@cache
def document() -> bytes:
    """The OpenAPI document."""
    return msgspec.json.encode(description())


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document as a value."""
    shapes = list({id(s): s for route in ROUTES.values() for pair in _shapes(route) for s in pair}.values())
    schemas, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    by_shape = {id(shape): schema for shape, schema in zip(shapes, schemas, strict=True)}
    paths: dict[str, Any] = {path: {"post": _call(path, route, by_shape)} for path, route in ROUTES.items()}
    for path, meaning in PAGES.items():
        paths.setdefault(path, {})["get"] = _page(path, meaning)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crossrank",
            "version": __version__,
            "description": "A reranker that speaks the dialects of Cohere, Voyage, Jina, TEI, vLLM and others.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _call(path: str, route: Route, schemas: Mapping[int, Any]) -> dict[str, Any]:
    asked, answered = ([schemas[id(shape)] for shape in shapes] for shapes in zip(*_shapes(route), strict=True))
    names = ", ".join(dialect.name for dialect in route.dialects.values())
    does, told = ("Explain", "The explanation.") if route.explains else ("Rerank", "The ranking.")
    return {
        "summary": f"{does}: {names}",
        "operationId": f"post_{path.strip('/').replace('/', '_') or 'root'}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _any(asked)}}},
        "responses": {
            "200": {"description": told, "content": {"application/json": {"schema": _any(answered)}}},
            **{status: _refusal(meaning) for status, meaning in REFUSALS.items()},
        },
        "security": [{}, {"key": []}],
    }


def _shapes(route: Route) -> list[tuple[Any, Any]]:
    """What each body and its answer is read as."""
    if route.explains:
        return [EXPLANATION]
    return [(dialect.call_shape, dialect.answer_shape) for dialect in route.dialects.values()]


def _any(schemas: list[Any]) -> Any:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _refusal(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": {"type": "object"}}}}


def _page(path: str, meaning: str) -> dict[str, Any]:
    text = path in ("/", "/metrics", "/docs")
    kind = {"/metrics": "text/plain", "/docs": "text/html", "/": "text/html"}.get(path, "application/json")
    content = {kind: {"schema": {"type": "string" if text else "object"}}}
    responses: dict[str, Any] = {"200": {"description": meaning, "content": content}}
    if path in GUARDED:
        responses["401"] = _refusal(REFUSALS["401"])
    if path in ("/ready", "/ping"):
        responses["503"] = _refusal(REFUSALS["503"])
    security: list[dict[str, list[str]]] = [{}, {"key": []}] if path in GUARDED else []
    name = f"get_{path.strip('/').replace('/', '_').replace('.', '_') or 'root'}"
    return {"summary": meaning, "operationId": name, "responses": responses, "security": security}


@cache
def page() -> bytes:
    """The description as HTML."""
    told = description()
    parts = [f"<h1>crossrank {escape(__version__)}</h1><p>{escape(told['info']['description'])}</p><h2>Calls</h2>"]
    for path, route in ROUTES.items():
        names = ", ".join(f"<code>{escape(name)}</code>" for name in (d.name for d in route.dialects.values()))
        asked = told["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        shown = escape(msgspec.json.format(msgspec.json.encode(_resolved(asked, told)), indent=2).decode())
        parts.append(
            f"<details><summary><code>POST {escape(path)}</code> {names}</summary><pre>{shown}</pre></details>"
        )
    parts.append("<h2>Pages</h2><ul>")
    parts.extend(f"<li><code>GET {escape(path)}</code> {escape(meaning)}</li>" for path, meaning in PAGES.items())
    parts.append("</ul><h2>Errors</h2><ul>")
    parts.extend(f"<li><code>{status}</code> {escape(meaning)}</li>" for status, meaning in REFUSALS.items())
    parts.append("</ul><p>For programs: <a href='openapi.json'>openapi.json</a></p>")
    meta = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    head = f"{meta}<title>crossrank</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>".encode()


def _resolved(schema: Any, told: Mapping[str, Any]) -> Any:
    """The schema with what it refers to in place."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _resolved(told["components"]["schemas"][schema["$ref"].rpartition("/")[2]], told)
        return {key: _resolved(value, told) for key, value in schema.items()}
    return [_resolved(item, told) for item in schema] if isinstance(schema, list) else schema
