"""Every vendor and every dialect is spoken in its own way: path, key, model; names and addresses are understood."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from crossrank.errors import ArgumentTypeError, UsageError
from crossrank.remote import RemoteReranker, Retry, VendorError, is_remote, open_remote
from crossrank.remote.names import NAMES
from crossrank.remote.spec import target_of
from crossrank.remote.vendors import VENDORS
from crossrank.testing import FakeVendor, Fault
from crossrank.wire import DIALECTS

QUERY, DOCUMENTS, BEST_FIRST = "who created python", ["zebra", "who", "who created python", "python"], [2, 3, 1, 0]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment decides a test."""
    for vendor in VENDORS.values():
        for name in (*vendor.key_variables, vendor.url_variable):
            if name:
                monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_is_spoken_to_in_its_dialect(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync and async, with the key of its own environment variable in its own header."""
    vendor = VENDORS[name]
    assert vendor.dialect is not None
    if vendor.key_variables:
        monkeypatch.setenv(vendor.key_variables[0], "k-1")
    pages = {"/info": {"max_client_batch_size": 32}} if name == "tei" else {}
    with FakeVendor(vendor.dialect.name, key="k-1" if vendor.key_variables else None, pages=pages) as server:
        with RemoteReranker(f"{name}:some-model", base_url=server.url) as reranker:
            ranking = reranker.rank(QUERY, DOCUMENTS, top_k=3)
        assert ranking.indices == BEST_FIRST[:3]
        assert ranking.scores == sorted(ranking.scores, reverse=True)
        assert [hit.rank for hit in ranking] == [1, 2, 3]
        assert {hit.logit for hit in ranking} == {None}
        assert ranking.usage["documents"] == ranking.usage["pairs"] == 4
        assert ranking.usage.get("tokens", 40) == 40

        async def asked() -> list[Any]:
            async with RemoteReranker(f"{name}:some-model", base_url=server.url) as reranker:
                return [await reranker.arank(QUERY, DOCUMENTS), await reranker.ascore([(QUERY, "zebra")])]

        again, scores = asyncio.run(asked())
        assert again.indices == BEST_FIRST
        assert scores.tolist() == [pytest.approx(again[3].score)]
    call = server.calls[0]
    assert call.query == QUERY
    assert call.documents == tuple(DOCUMENTS)
    assert call.model == ("some-model" if "model" in vendor.dialect.calls else None)
    assert call.top_n is None
    assert call.truncate is vendor.truncate
    assert not call.return_documents
    posted = next(request for request in server.requests if request.call is not None)
    assert posted.headers["user-agent"].startswith("crossrank/")
    for header, value in vendor.headers.items():
        assert posted.headers[header.lower()] == value


def test_each_name_is_a_vendor() -> None:
    """What is_remote says is what there is."""
    assert set(NAMES) == set(VENDORS)
    for name in ("cohere:x", "tei:", "vllm:BAAI/bge", "http://h", "HTTPS://h:1/x"):
        assert is_remote(name)
    for name in ("BAAI/bge-reranker", "crossrank-mini", "cohere", "./a:b", "C:/models", "ftp://h", None, 3, ""):
        assert not is_remote(name)


@pytest.mark.parametrize(
    ("spec", "base", "expected"),
    [
        ("cohere:m", None, "https://api.cohere.com/v2/rerank"),
        ("voyage:m", None, "https://api.voyageai.com/v1/rerank"),
        ("jina:m", None, "https://api.jina.ai/v1/rerank"),
        ("mixedbread:m", None, "https://api.mixedbread.com/v1/reranking"),
        ("together:m", None, "https://api.together.ai/v1/rerank"),
        ("pinecone:m", None, "https://api.pinecone.io/rerank"),
        (
            "nvidia:nvidia/llama-3.2-x",
            None,
            "https://ai.api.nvidia.com/v1/retrieval/nvidia/llama-3_2-x/reranking",
        ),
        ("nvidia:m", "http://h:1", "http://h:1/v1/ranking"),
        ("cohere:m", "http://h:1/", "http://h:1/v2/rerank"),
        ("cohere:m", "http://h:1/providers/cohere", "http://h:1/providers/cohere/v2/rerank"),
        ("cohere:m", "http://h:1/v2", "http://h:1/v2/rerank"),
        ("cohere:m", "http://h:1/v2/rerank", "http://h:1/v2/rerank"),
        ("cohere:m", "http://h:1/v22", "http://h:1/v22/v2/rerank"),
        ("voyage:m", "http://h:1/v1", "http://h:1/v1/rerank"),
        ("tei:", "http://h:1/rerank/", "http://h:1/rerank"),
        ("vllm:a/b", "http://h:1", "http://h:1/v1/rerank"),
    ],
)
def test_addresses(spec: str, base: str | None, expected: str) -> None:
    """A base URL may be the root, end in a version, or be the whole address."""
    target = target_of(spec, api_key="k", base_url=base, dialect=None)
    assert target.vendor.dialect is not None
    assert target.endpoint(target.vendor.dialect) == expected


def test_the_environment_says_key_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the variables of the vendors' own SDKs; what is given wins; a key of MongoDB's goes to MongoDB."""
    monkeypatch.setenv("CO_API_KEY", "from-env")
    monkeypatch.setenv("CO_API_URL", "http://gateway:1")
    target = target_of("cohere:m", api_key=None, base_url=None, dialect=None)
    assert (target.key and target.key.reveal(), target.base_url) == ("from-env", "http://gateway:1")
    target = target_of("cohere:m", api_key="given", base_url="http://other", dialect=None)
    assert (target.key and target.key.reveal(), target.base_url) == ("given", "http://other")
    assert target_of("voyage:m", api_key="al-1", base_url=None, dialect=None).base_url == "https://ai.mongodb.com/v1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "cohere:m"}, "Cohere needs a key. Set COHERE_API_KEY, or give api_key="),
        ({"model": "cohere:m", "api_key": " "}, "api_key is empty"),
        ({"model": "cohere:m", "api_key": "a b"}, "no HTTP header may"),
        ({"model": "cohere:m", "api_key": "a\nb"}, "no HTTP header may"),
        ({"model": "cohere:m", "api_key": "schlüssel"}, "no HTTP header may"),
        ({"model": "cohere:", "api_key": "k"}, "names no model; write 'cohere:MODEL'"),
        ({"model": "acme:m"}, "'acme:m' names no vendor that is known; give one of cohere, voyage"),
        ({"model": "vllm:m"}, "give base_url='http://host:port'"),
        ({"model": "tei:", "base_url": "host:80"}, "must look like 'http://host:port'"),
        ({"model": "http://"}, "must look like"),
        ({"model": "http://h:99999"}, "must look like"),
        ({"model": "http://h:x"}, "must look like"),
        ({"model": "http://a host"}, "white space"),
        ({"model": "http://[::1"}, "must look like"),
        ({"model": "http://me:pass@h"}, "the URL holds a user or password"),
        ({"model": "http://h?key=secret"}, "must have no '?'"),
        ({"model": "http://h", "base_url": "http://i"}, "a URL itself"),
        ({"model": "http://h", "dialect": "klingon"}, "the dialects are: cohere, cohere-v1"),
        ({"model": "http://h", "dialect": "cohere"}, "write 'cohere:MODEL' and give base_url='http://h'"),
        ({"model": "http://h", "timeout_s": 0}, "timeout_s=0 leaves nothing"),
        ({"model": "http://h", "timeout_s": float("nan")}, "timeout_s=nan leaves nothing"),
        ({"model": "http://h", "concurrency": 0}, "give at least 1"),
        ({"model": "http://h", "cost_max_usd": 1.0}, "no price of 'http://h' is known; give price="),
        ({"model": "cohere:rerank-v9", "api_key": "k", "cost_max_usd": 1.0}, "give price="),
        ({"model": "cohere:rerank-v3.5", "api_key": "k", "cost_max_usd": -1.0}, "give a number above 0"),
        ({"model": "http://h", "cache": "disk"}, "cache='disk' is not known"),
        ({"model": "http://h", "instruction": " "}, "instruction is empty"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(arguments: dict[str, Any], words: str) -> None:
    """Each with what is allowed, and none with a key or a password in it."""
    with pytest.raises(UsageError) as caught:
        RemoteReranker(**arguments)
    assert words in str(caught.value)
    assert "pass@" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "gopher://127.0.0.1:1", "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY"),
        ("SSL_CERT_FILE", "/nowhere/cert.pem", "and SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(
    variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first call, which is where connections are opened."""
    monkeypatch.setenv(variable, value)
    with RemoteReranker("vllm:m", base_url="https://127.0.0.1:1") as reranker:
        with pytest.raises(UsageError, match=words):
            reranker.rank(QUERY, DOCUMENTS)
        with pytest.raises(UsageError, match=words):
            asyncio.run(reranker.arank(QUERY, DOCUMENTS))


def test_options_of_local_models_are_refused_by_name() -> None:
    """Those of Reranker(...) that mean nothing over HTTP, and typos."""
    with open_remote("http://h", {"cache": None, "timeout_s": 3}) as reranker:
        assert repr(reranker) == "RemoteReranker('http://h', http://h)"
    with pytest.raises(UsageError, match=r"device, tiemout_s: not an option of 'http://h'.*its options are api_key"):
        open_remote("http://h", {"device": "cpu", "tiemout_s": 3})


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": 3},
        {"model": None},
        {"model": "cohere:m", "api_key": 3},
        {"model": "http://h", "timeout_s": "3"},
        {"model": "http://h", "concurrency": 1.5},
        {"model": "http://h", "concurrency": True},
        {"model": "http://h", "retry": 3},
        {"model": "http://h", "limits": 100},
        {"model": "http://h", "price": 2.0},
        {"model": "http://h", "instruction": 3},
        {"model": "http://h", "fallback": 3},
        {"model": "http://h", "dialect": 3},
    ],
)
def test_wrong_types_are_named(arguments: dict[str, Any]) -> None:
    """As ours, and as Python's TypeError."""
    with pytest.raises(ArgumentTypeError, match="must"):
        RemoteReranker(**arguments)


DESCRIPTIONS = [
    ("tei", {"/info": {"model_id": "m", "max_client_batch_size": 2, "max_concurrent_requests": 512}}),
    ("vllm", {"/v1/models": {"object": "list", "data": [{"id": "served", "owned_by": "vllm"}]}}),
    ("jina", {"/v1/models": {"object": "list", "data": [{"id": "served", "owned_by": "llamacpp"}]}}),
    ("infinity", {"/models": {"data": [{"id": "served", "owned_by": "infinity"}]}}),
    ("crossrank", {"/info": {"crossrank": "0.1.0", "max_client_batch_size": 1000}}),
]


@pytest.mark.parametrize(("dialect", "pages"), DESCRIPTIONS, ids=[name for name, _ in DESCRIPTIONS])
def test_a_server_is_recognised(dialect: str, pages: dict[str, Any]) -> None:
    """By what it says of itself, asked once; the model it serves and the limits it has are taken from there."""
    with FakeVendor(dialect, pages=pages) as server, RemoteReranker(server.url) as reranker:
        assert [reranker.rank(QUERY, DOCUMENTS).indices for _ in range(2)] == [BEST_FIRST] * 2
        assert reranker.rank(QUERY, ["other"]).indices == [0]
    calls = server.calls
    assert calls[0].model == ("served" if "model" in server.dialect.calls and dialect != "crossrank" else None)
    assert [len(call.documents) for call in calls] == ([2, 2, 1] if dialect == "tei" else [4, 1])
    asked = [request.path for request in server.requests if request.method == "GET"]
    assert len(asked) == len(set(asked))


def test_a_server_that_cannot_be_told_is_an_error_until_named() -> None:
    """With dialect=, or with the kind of server."""
    with FakeVendor("infinity", pages={}) as server:
        with RemoteReranker(server.url) as reranker, pytest.raises(VendorError, match="Give dialect="):
            reranker.rank(QUERY, DOCUMENTS)
        with RemoteReranker(server.url, dialect="infinity") as reranker:
            assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
        with RemoteReranker("infinity:m", base_url=server.url) as reranker:
            assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
    with FakeVendor("vllm-score") as server, RemoteReranker(server.url + "/v1/score") as reranker:
        assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST


def test_finding_out_is_tried_again_and_wants_the_right_key() -> None:
    """A probe is a call as any other: a passing failure does not end it, a wrong key does, with its remedy."""
    pages = {"/info": {"max_client_batch_size": 2}}
    with FakeVendor("tei", pages=pages) as server, RemoteReranker(server.url, retry=Retry(first_s=0.001)) as reranker:
        server.page_faults.extend([Fault(503), Fault(drop=True)])
        assert reranker.rank(QUERY, DOCUMENTS).indices == BEST_FIRST
        assert [len(call.documents) for call in server.calls] == [2, 2]
    with FakeVendor("tei", pages=pages) as server, RemoteReranker(server.url) as reranker:
        server.page_faults.append(Fault(401, body=b'{"error": "Unauthorized"}'))
        with pytest.raises(VendorError, match=r"401: Unauthorized\. Give a valid key as api_key="):
            reranker.rank(QUERY, DOCUMENTS)


def test_a_wrong_dialect_is_an_error_with_a_remedy() -> None:
    """The server's own words, and what to check."""
    words = r"404: no /v1/rerank\. Check the model's name and base_url="
    with FakeVendor("nvidia") as server, RemoteReranker(server.url, dialect="vllm") as reranker:
        with pytest.raises(VendorError, match=words):
            reranker.rank(QUERY, DOCUMENTS)
        assert not any(reranker.spent.values())


@pytest.mark.parametrize(
    ("library", "use"), [("msgspec", "RemoteReranker"), ("httpx2", "RemoteReranker(url).rank('q', ['a'])")]
)
def test_without_the_libraries_the_pip_command_is_named(library: str, use: str) -> None:
    """As a MissingExtra, which is a CrossrankError; names are told apart all the same."""
    program = f"""
import sys
sys.modules[{library!r}] = None
import crossrank.remote
from crossrank.errors import MissingExtra
url = "http://127.0.0.1:1"
assert crossrank.remote.is_remote(url)
try:
    crossrank.remote.{use}
except MissingExtra as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert "pip install 'crossrank[remote]'" in done.stdout


def test_nothing_of_it_is_loaded_with_crossrank() -> None:
    """Nor with the question whether a name is remote."""
    program = (
        "import sys, crossrank, crossrank.remote as r; r.is_remote('a:b'); print([m for m in sys.modules if m in %r])"
    )
    heavy = ("msgspec", "httpx2", "anyio", "asyncio", "crossrank.wire", "crossrank.remote.ranker")
    run = [sys.executable, "-c", program % (heavy,)]
    assert subprocess.run(run, capture_output=True, text=True, timeout=240, check=True).stdout == "[]\n"


def test_every_dialect_has_a_vendor() -> None:
    """None is there that cannot be asked for by name."""
    assert {vendor.dialect.name for vendor in VENDORS.values() if vendor.dialect} == set(DIALECTS)
