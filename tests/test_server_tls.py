"""The server's own TLS: a client that trusts the certificate is answered; others are not, and harm nobody."""

import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from serving import WAIT_S, Serving

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate")


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """The settings that name a certificate for 127.0.0.1 and its key, made for the test."""
    files = {"ssl_certfile": str(tmp_path / "cert.pem"), "ssl_keyfile": str(tmp_path / "key.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", files["ssl_certfile"], "-keyout", files["ssl_keyfile"]]
    subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)
    return files


def ranked(port: int, trusted: str | None) -> list[int]:
    """The order of a call over TLS."""
    context = ssl.create_default_context(cafile=trusted)
    body = json.dumps({"query": "ab", "documents": ["a", "ab"]}).encode()
    request = urllib.request.Request(f"https://127.0.0.1:{port}/v2/rerank", body, {"content-type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with direct.open(request, timeout=WAIT_S) as answer:
        return [result["index"] for result in json.load(answer)["results"]]


def test_tls(certificate: dict[str, str]) -> None:
    """Who trusts it is served; who does not, or speaks plain HTTP, is not, and the next one is."""
    with Serving(lazy=True, **certificate) as server:
        assert ranked(server.port, certificate["ssl_certfile"]) == [1, 0]
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            ranked(server.port, None)
        plain = HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        plain.request("GET", "/health")
        with pytest.raises((OSError, HTTPException)):
            plain.getresponse()
        plain.close()
        assert ranked(server.port, certificate["ssl_certfile"]) == [1, 0]
