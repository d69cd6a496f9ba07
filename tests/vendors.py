"""Rerankers of the fake vendors that `crossrank.testing` has, and waits for what becomes true of them."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2
import pytest

from crossrank.remote import RemoteReranker, Retry
from crossrank.testing import FakeVendor

PATIENCE_S = 60  # no wait of a test may be longer


def opened(vendor: FakeVendor, spec: str = "cohere:rerank-v4.0-pro", **options: Any) -> RemoteReranker:
    """A reranker of the vendor, with a key, that does not wait long between tries."""
    given = {"api_key": "k-secret", "base_url": vendor.url, "retry": Retry(first_s=0.001), "timeout_s": PATIENCE_S}
    return RemoteReranker(spec, **(given | options))


def until(true: Callable[[], object]) -> None:
    """Wait until something is so in another thread."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections that nobody uses stay open, however long it takes until somebody does: httpx2 gives them 5 s."""
    monkeypatch.setattr(httpx2, "Limits", partial(httpx2.Limits, keepalive_expiry=None))
