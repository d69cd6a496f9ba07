"""Over TLS, HTTP/2 is spoken where the server offers it: many calls share one connection, and no log shows the key."""

import asyncio
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from crossrank.remote import RemoteReranker
from vendors import PATIENCE_S, keep_connections

h2_connection = pytest.importorskip("h2.connection")
from h2 import config, events  # noqa: E402 - after the check that it is there


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a certificate of 127.0.0.1, made on the spot."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=here"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([openssl, *made, *names, *files], check=True, capture_output=True)
    return tmp_path


class Http2Server:
    """Scores each document by its position, over as many streams as are opened."""

    def __init__(self, folder: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._tls.set_alpn_protocols(["h2"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.connections = 0
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads[0].start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
                plain.settimeout(PATIENCE_S)
                accepted = self._tls.wrap_socket(plain, server_side=True)
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._converse, args=(accepted,)))
            self._threads[-1].start()

    def _converse(self, stream: ssl.SSLSocket) -> None:
        spoken = h2_connection.H2Connection(config.H2Configuration(client_side=False))
        spoken.initiate_connection()
        bodies: dict[int, bytes] = {}
        with stream, suppress(OSError):  # a client that goes may reset the connection: what it was told stays told
            stream.sendall(spoken.data_to_send())
            while received := stream.recv(65_536):
                for event in spoken.receive_data(received):
                    if isinstance(event, events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                        spoken.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if isinstance(event, events.StreamEnded):
                        count = len(json.loads(bodies[event.stream_id])["documents"])
                        results = [{"index": i, "relevance_score": i / 10} for i in range(count)]
                        spoken.send_headers(event.stream_id, [(":status", "200")])
                        spoken.send_data(event.stream_id, json.dumps({"results": results}).encode(), end_stream=True)
                stream.sendall(spoken.data_to_send())


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Http2Server]:
    keep_connections(monkeypatch)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    server = Http2Server(certificate)
    yield server
    server.close()


def test_http2_where_it_is_offered(server: Http2Server, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred calls at a time over one connection, none lost, and the key in no log of any library at any level."""
    caplog.set_level(logging.DEBUG)

    async def many(reranker: RemoteReranker) -> list[list[int]]:
        rankings = await asyncio.gather(*(reranker.arank(f"query {i}", ["a", "b", "c"]) for i in range(100)))
        return [ranking.indices for ranking in rankings]

    with RemoteReranker("cohere:m", api_key="sk-very-secret", base_url=server.url, cache=None) as reranker:
        reranker.rank("query", ["a"])
        assert asyncio.run(many(reranker)) == [[2, 1, 0]] * 100
    assert server.connections == 1
    assert "HTTP/2" in caplog.text
    assert "sk-very-secret" not in caplog.text
