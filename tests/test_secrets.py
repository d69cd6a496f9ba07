"""A key or a password is in no log, error, traceback, repr, event, metric, page or help, whoever repeats it."""

import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrank import observe
from crossrank.engine.cache import open_cache
from crossrank.engine.cache.redis import RedisCache
from crossrank.errors import CrossrankError, UsageError
from crossrank.remote import RemoteReranker, Retry
from crossrank.server.keys import read_keys
from crossrank.testing import FakeVendor, Fault
from serving import Serving

SECRET = "sk-5ecret-0f-th1s-t3st"
PARTS = ("5ecret", "th1s", "t3st")
ECHO = f'{{"message": "no: {SECRET}", "code": "{SECRET}", "id": "{SECRET}"}}'.encode()
FAULTS = [Fault(401, body=ECHO), Fault(500, body=ECHO), Fault(422, body=ECHO), Fault(200, body=ECHO), Fault(drop=True)]


def silent(*said: object) -> None:
    """Fail where a part of the secret is in any of the texts."""
    for text in map(str, said):
        assert not [part for part in PARTS if part in text], text


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that any library logs, at its most talkative."""
    with caplog.at_level(logging.DEBUG, logger=""):
        yield caplog


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("vendor", ["cohere", "pinecone"])
def test_a_vendor_s_key(
    vendor: str, fault: Fault, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment, in each vendor's header, through success and failure, though the vendor repeats it."""
    monkeypatch.setenv({"cohere": "COHERE_API_KEY", "pinecone": "PINECONE_API_KEY"}[vendor], SECRET)
    events: list[object] = []
    leave = observe.subscribe(events.append)
    try:
        with (
            FakeVendor("cohere", key=SECRET) as server,
            RemoteReranker(
                f"{vendor}:m", base_url=server.url, dialect="cohere", retry=Retry(0), cache=None
            ) as reranker,
        ):
            silent(repr(reranker), reranker.facts, vars(reranker))
            if vendor == "cohere":
                reranker.rank("who", ["a", "b"])
                assert SECRET in str(server.requests[-1]), "the test's server saw no key"
            server.faults.append(fault)
            with pytest.raises(CrossrankError) as caught:
                reranker.rank("who", ["a", "b"])
            trace = "".join(traceback.format_exception(caught.value))
            silent(caught.value, repr(caught.value), vars(caught.value), trace)
    finally:
        leave()
    assert events
    silent(*events, logged.text)


def test_a_server_s_keys(logged: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Of its environment and its file, right or wrong, on every page and in what its parts show of themselves."""
    file = tmp_path / "keys"
    file.write_text(f"{SECRET}-2 name=ann\n")
    with Serving(environ={"CROSSRANK_API_KEY": SECRET}, api_key_file=str(file), log_calls=True) as server:
        call = {"query": "ab", "documents": ["a"]}
        answers = [server.post("/v1/rerank", call, key=key) for key in (SECRET, f"{SECRET}-2", f"{SECRET}-3")]
        assert [answer.status for answer in answers] == [200, 200, 401]
        pages = [
            server.get(path, authorization=f"Bearer {SECRET}")
            for path in ("/", "/info", "/metrics", "/openapi.json", "/docs", "/v1/models", "/nope")
        ]
        for answer in (*answers, *pages):
            silent(answer.body.decode(), answer.headers)
    silent(logged.text)


@pytest.mark.parametrize("line", [f"sk- {SECRET}", f"sha256:{SECRET}", f"ab name= {SECRET}"])
def test_a_file_of_keys_that_is_wrong(line: str, tmp_path: Path) -> None:
    """A key with a space in it is two words, and the second is a secret as well."""
    file = tmp_path / "keys"
    file.write_text(line)
    with pytest.raises(UsageError, match="line 1") as caught:
        read_keys({}, file)
    silent(caught.value, "".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}@host:6379/x?no=1",
        f"redis://user:a/{SECRET}@host:6379/0",
        f"redis://:/{SECRET}@host/0",
        f"redis://user:a@{SECRET}@host:port/0",
        f"redis://host/0?password={SECRET}",
        f"rediss://user:{SECRET}#a@host:port",
        f"mysql://user:{SECRET}@host",
        f"http://[{SECRET}@host",
    ],
)
def test_the_password_of_a_cache(url: str) -> None:
    """Where the URL is wrong, and where it is right but not escaped."""
    pytest.importorskip("redis")
    try:
        silent(repr(open_cache(url)), repr(RedisCache(url)))
    except CrossrankError as exc:
        silent(exc, "".join(traceback.format_exception(exc)))


def test_what_the_command_line_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help and the doctor, with secrets in the environment."""
    for name in ("COHERE_API_KEY", "CROSSRANK_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    for command in (["--help"], ["serve", "--help"], ["doctor", "--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "crossrank", *command], capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        silent(ran.stdout, ran.stderr)
