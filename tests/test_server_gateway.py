"""A vendor's model behind the server: its answers in every dialect, its failures as the caller should see them."""

from collections.abc import Iterator

import pytest

from crossrank.remote import RemoteReranker, Retry
from crossrank.server.http import Request
from crossrank.server.tracing import traced
from crossrank.testing import FakeVendor, Fault
from serving import Serving

CALL = {"query": "ab", "documents": ["c", "a", "ab", ""]}


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor("cohere", key="k") as vendor:
        yield vendor


@pytest.fixture
def gateway(vendor: FakeVendor) -> Iterator[Serving]:
    def opened(_: str) -> RemoteReranker:
        return RemoteReranker("cohere:m", base_url=vendor.url, api_key="k", retry=Retry(retries=0), cache=None)

    with Serving(opened, model=("m=cohere:m",)) as server:
        yield server


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/cohere/v2/rerank", "/jina/v1/rerank"])
def test_a_vendor_s_ranking_comes_through(path: str, gateway: Serving) -> None:
    """Its order and scores; an empty text, which it would refuse, comes last with 0."""
    said = gateway.post(path, CALL).json
    assert [[item["index"], item["relevance_score"]] for item in said["results"]] == [[2, 1], [1, 0.5], [0, 0], [3, 0]]


def test_scores_of_a_vendor(gateway: Serving) -> None:
    """In the order of the documents; 0 for a text that the vendor does not take."""
    said = gateway.post("/v1/score", {"text_1": ["ab", "c", "d"], "text_2": ["a", "c", ""]}).json
    assert [item["score"] for item in said["data"]] == [0.5, 1.0, 0.0]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(429, {"retry-after": "7"}), 429),
        (Fault(400), 400),
        (Fault(401), 503),
        (Fault(500), 503),
        (Fault(drop=True), 503),
    ],
)
def test_a_vendor_s_failure(fault: Fault, status: int, gateway: Serving, vendor: FakeVendor) -> None:
    """What the caller can mend is passed on; the server's own key and the vendor's trouble are a 503."""
    vendor.faults.append(fault)
    answer = gateway.post("/v1/rerank", CALL)
    assert answer.status == status
    if status == 429:
        assert answer.headers["retry-after"] == "7"
    assert gateway.post("/v1/rerank", CALL).status == 200


@pytest.mark.parametrize("more", [{"raw_scores": True}, {"instruction": "what to look for"}])
def test_what_a_vendor_does_not_have(more: dict[str, object], gateway: Serving) -> None:
    """It is refused with 400, not left out."""
    assert gateway.post("/v1/rerank", {**CALL, **more}).status == 400


def test_a_call_belongs_to_its_caller_s_trace() -> None:
    """While it is answered, the caller's `traceparent` is the current context; nonsense is none."""
    from opentelemetry import trace

    number = "0af7651916cd43dd8448eb211c80319c"
    for header, expected in ((f"00-{number}-b7ad6b7169203331-01", int(number, 16)), ("nonsense", 0)):
        request = Request("POST", "/", {b"traceparent": header.encode()}, "id", 0.0)
        with traced(request):
            assert trace.get_current_span().get_span_context().trace_id == expected
        assert trace.get_current_span().get_span_context().trace_id == 0
    with Serving(otel=True) as server:
        assert server.post("/v1/rerank", CALL, traceparent=f"00-{number}-b7ad6b7169203331-01").status == 200
