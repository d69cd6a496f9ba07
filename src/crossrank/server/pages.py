"""What is answered to GET: whether the server lives and is ready, what it serves, what it counts, how it is called.

It knows no calls and no texts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from crossrank import __version__
from crossrank.server import openapi, playground
from crossrank.server.guard import Guard
from crossrank.server.http import Request, Response
from crossrank.server.metrics import CONTENT_TYPE, Metrics
from crossrank.server.models import Models
from crossrank.server.routes import PREFIXES
from crossrank.server.settings import Settings
from crossrank.wire import DIALECTS

HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one server process."""

    settings: Settings
    models: Models
    guard: Guard
    metrics: Metrics
    started: int = field(default_factory=lambda: int(time.time()))

    def find(self, path: str) -> tuple[str, Callable[[], Response]] | None:
        """A page's own path and what answers it; a dialect's prefix has the pages that its clients look for."""
        first, _, rest = path[1:].partition("/")
        if first in PREFIXES and rest in ("health", "info", "ping", "v1/models", "metrics"):
            path = f"/{rest}"
        page = self._table.get(path)
        return None if page is None else (path, page)

    def answer(self, request: Request, path: str, page: Callable[[], Response]) -> Response:
        """The page.

        Raises:
            Refusal: it needs a key.
        """
        if path in openapi.GUARDED:
            request.facts["key"] = self.guard.who(request.headers).name
        return page()

    @property
    def _table(self) -> Mapping[str, Callable[[], Response]]:
        return {
            "/": self._docs,
            "/health": self._health,
            "/ready": self._ready,
            "/ping": self._ready,
            "/info": self._info,
            "/v1/models": self._models,
            "/models": self._models,
            "/metrics": lambda: Response(200, self.metrics.page(), CONTENT_TYPE),
            "/openapi.json": lambda: Response(200, openapi.document()),
            "/docs": self._docs,
            **self._playground(),
        }

    def _health(self) -> Response:
        return _json(200, {"status": "ok"})

    def _ready(self) -> Response:
        if self.guard.draining:
            return _json(503, {"status": "stopping"}, (b"retry-after", b"5"))
        if not self.models.ready and not self.settings.lazy:
            return _json(503, {"status": "starting"}, (b"retry-after", b"1"))
        return _json(200, {"status": "ready"})

    def _info(self) -> Response:
        facts = self.models.facts()
        return _json(
            200,
            {
                "server": f"crossrank/{__version__}",
                "crossrank": {"version": __version__, "models": self.models.names, "dialects": list(DIALECTS)},
                "model_id": self.models.names[0],
                "model_sha": None,
                "model_dtype": facts.get("precision", "unknown"),
                "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
                "max_concurrent_requests": self.settings.calls_max,
                "max_input_length": self.settings.max_length,
                "max_batch_tokens": None,
                "max_batch_requests": None,
                "max_client_batch_size": self.settings.documents_max,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": __version__,
                "sha": None,
                "docker_label": None,
            },
        )

    def _models(self) -> Response:
        data = [
            {"id": name, "object": "model", "created": self.started, "owned_by": "crossrank"}
            for name in self.models.names
        ]
        return _json(200, {"object": "list", "data": data})

    def _playground(self) -> Mapping[str, Callable[[], Response]]:
        return {path: partial(_file, path) for path in playground.FILES} if self.settings.playground else {}

    def _docs(self) -> Response:
        return Response(200, openapi.page(), HTML, ((b"content-security-policy", openapi.POLICY),))


def _file(path: str) -> Response:
    return Response(200, playground.content(path), playground.FILES[path][1], playground.HEADERS)


def _json(status: int, value: Any, *headers: tuple[bytes, bytes]) -> Response:
    return Response(status, msgspec.json.encode(value), headers=headers)
