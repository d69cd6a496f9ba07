"""Who may call, and how much: keys of files and the environment, quotas, and no open door by mistake."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import call_of
from crossrank.errors import UsageError
from crossrank.server.keys import read_keys
from crossrank.server.quota import Quotas
from crossrank.server.routes import CALLS
from serving import Serving

CALL = {"query": "ab", "documents": ["a", "b"]}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(
        "# keys\n\nplain name=ann\n"
        f"sha256:{sha256(b'hashed').hexdigest()} name=bob documents_per_minute=10\n"
        "narrow models=other,fake-2\n"
    )
    return file


@pytest.fixture(scope="module")
def guarded() -> Iterator[Serving]:
    with Serving(environ={"CROSSRANK_API_KEY": "one, two,"}) as server:
        yield server


@pytest.mark.parametrize("path", CALLS)
def test_no_scoring_path_is_open(path: str, guarded: Serving) -> None:
    """401 on every one without a key or with a wrong one; the ranker never hears of it."""
    before = len(guarded.ranker.calls)
    assert guarded.post(path, call_of(path)).status == 401
    answer = guarded.post(path, call_of(path), key="three")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"invalid api token" in answer.body
    assert len(guarded.ranker.calls) == before
    assert guarded.post(path, call_of(path), key="two").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer one"},
        {"authorization": "bearer  one "},
        {"authorization": "BEARER one"},
        {"api_key": "one"},
        {"Api_Key": "two"},
    ],
)
def test_a_key_is_given_in_any_vendor_s_way(headers: dict[str, str], guarded: Serving) -> None:
    """The scheme in any case, or Pinecone's header."""
    assert guarded.post("/v1/rerank", CALL, **headers).status == 200


@pytest.mark.parametrize("given", ["Bearer None", "Bearer fake-api-key", "Basic one", "one", "Bearer", ""])
def test_what_is_no_key(given: str, guarded: Serving) -> None:
    """What clients send without a key, other schemes, nothing."""
    assert guarded.post("/v1/rerank", CALL, authorization=given).status == 401


def test_pages_that_say_what_is_served_need_a_key(guarded: Serving) -> None:
    """Those of balancers and of Prometheus do not."""
    for path in ("/health", "/ready", "/ping", "/metrics", "/openapi.json", "/docs"):
        assert guarded.get(path).status == 200, path
    for path in ("/info", "/v1/models", "/tei/info"):
        assert guarded.get(path).status == 401, path
        assert guarded.get(path, authorization="Bearer one").status == 200, path


def test_keys_are_ignored_where_none_are_set() -> None:
    """Clients that need one send anything."""
    with Serving() as server:
        assert server.post("/v1/rerank", CALL, key="whatever").status == 200


def test_keys_of_a_file(key_file: Path) -> None:
    """Plain or hashed, with a name, a quota and models; a key of other models is refused with 403."""
    with Serving(api_key_file=str(key_file)) as server:
        assert server.post("/v1/rerank", CALL, key="plain").status == 200
        assert server.post("/v1/rerank", CALL, key="hashed").status == 200
        assert server.post("/v1/rerank", CALL, key=f"sha256:{sha256(b'hashed').hexdigest()}").status == 401
        answer = server.post("/v1/rerank", CALL, key="narrow")
        assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")


def test_a_file_of_keys_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """As editors of Windows save it; the mark is no part of the first key."""
    (tmp_path / "keys").write_bytes(b"\xef\xbb\xbfplain\r\n")
    with Serving(api_key_file=str(tmp_path / "keys")) as server:
        assert server.post("/v1/rerank", CALL, key="plain").status == 200


def test_no_key_is_kept_as_it_was_given(key_file: Path) -> None:
    """Hashes and names only."""
    keys = read_keys({"CROSSRANK_API_KEY": "secret-1"}, key_file, documents_per_minute=5)
    assert "secret" not in repr(keys)
    assert "plain" not in repr(keys)
    assert [key.documents_per_minute for key in keys.keys] == [5, 5, 10, 5]
    found = keys.find(b"hashed")
    assert found is not None
    assert found.name == "bob"
    assert keys.find(b"") is None


@pytest.mark.parametrize(
    "line", ["k documents_per_minute=0", "k documents_per_minute=x", "k what=1", "k name", "sha256:12", "sha256:zz"]
)
def test_a_line_of_keys_that_is_wrong_is_named_without_the_key(line: str, tmp_path: Path) -> None:
    """By its number: the key itself is in no message."""
    file = tmp_path / "keys"
    file.write_text(f"good\nsecret{line}" if line.startswith("k ") else f"good\n{line}")
    with pytest.raises(UsageError, match="line 2") as caught:
        read_keys({}, file)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"\xff\xfe"])
def test_a_file_without_keys_is_no_open_door(content: bytes | None, tmp_path: Path) -> None:
    """One that is missing, empty or unreadable is an error, not a server without keys."""
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="keys"):
        read_keys({}, file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_nobody_listens_to_the_world_without_a_key(host: str) -> None:
    """Beyond loopback there is a key, or the wish to have none."""
    with pytest.raises(UsageError, match="CROSSRANK_API_KEY"):
        Serving(host=host)
    with Serving(host="0.0.0.0", no_auth=True) as server:
        assert server.get("/ready").status == 200
    with Serving(host="0.0.0.0", environ={"CROSSRANK_API_KEY": "k"}) as server:
        assert server.post("/v1/rerank", CALL).status == 401


def test_a_quota_is_kept_to(key_file: Path) -> None:
    """429 with Retry-After when it is used up, and other keys are none the worse."""
    with Serving(api_key_file=str(key_file)) as server:
        server.app.guard.quotas = Quotas(clock=lambda: 0.0)  # nothing fills up meanwhile
        assert server.post("/v1/rerank", {"query": "q", "documents": ["a"] * 8}, key="hashed").status == 200
        assert server.post("/v1/rerank", CALL, key="hashed").status == 200
        answer = server.post("/v1/rerank", CALL, key="hashed")
        assert (answer.status, answer.json["error"]["code"]) == (429, "quota_exceeded")
        assert answer.headers["retry-after"] == "12"  # two documents, of ten a minute
        assert server.post("/v1/rerank", CALL, key="plain").status == 200


@pytest.mark.property
@given(
    calls=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 300)), max_size=30),
    per_minute=st.integers(1, 200),
    shared=st.booleans(),
)
def test_quotas_are_exact(calls: list[tuple[float, int]], per_minute: int, shared: bool) -> None:
    """Never more than a minute's worth and one call above the rate; who waits as long as it is told is let in."""
    now = 0.0
    with NamedTemporaryFile() as file:
        path = Path(file.name) if shared else None
        first, second = Quotas(path, clock=lambda: now), Quotas(path, clock=lambda: now)
    taken = largest = 0
    for i, (wait, documents) in enumerate(calls):
        now += wait
        quotas = second if shared and i % 2 else first
        missing = quotas.take(b"k" * 32, documents, per_minute)
        if missing is None:
            taken, largest = taken + documents, max(largest, documents)
        else:
            now += missing + 1e-6
            assert quotas.take(b"k" * 32, documents, per_minute) is None
            taken, largest = taken + documents, max(largest, documents)
        assert taken <= per_minute * (1 + now / 60) + largest + 1e-3
        assert first.take(b"other" * 6 + b"ab", 1, 10**9) is None
    first.close()
    second.close()
