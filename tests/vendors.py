"""Rerankers of the fake vendors that `crossrank.testing` has."""

from typing import Any

from crossrank.remote import RemoteReranker, Retry
from crossrank.testing import FakeVendor


def opened(vendor: FakeVendor, spec: str = "cohere:rerank-v4.0-pro", **options: Any) -> RemoteReranker:
    """A reranker of the vendor, with a key, that does not wait long between tries."""
    given = {"api_key": "k-secret", "base_url": vendor.url, "retry": Retry(first_s=0.001), "timeout_s": 20}
    return RemoteReranker(spec, **(given | options))
